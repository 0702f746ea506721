//! Folders and buckets.

use std::path::Path as FsPath;
use std::sync::Arc;

use angzarr_proto::v1::PayloadStorageType;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use url::Url;

/// Where objects are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) kind: PayloadStorageType,
    pub(super) prefix: Path,
    base: String,
}

impl Place {
    /// How a reference names an object.
    pub(super) fn uri(&self, name: &str) -> String {
        let folder = name.get(..2).unwrap_or_default();
        format!("{}/{folder}/{name}", self.base)
    }
}

/// Opens what a path or URL names; a folder is made when it is not there.
pub(super) fn open(url: &str) -> Result<(Arc<dyn ObjectStore>, Place), String> {
    let base = url.trim_end_matches('/').to_owned();
    match url.split_once("://") {
        None => folder(FsPath::new(url)),
        Some(("file", _)) => {
            let path = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
            folder(&path.ok_or_else(|| format!("{url:?} names no folder"))?)
        }
        Some((scheme, _)) => {
            let kind = match scheme {
                "s3" => PayloadStorageType::S3,
                "gs" => PayloadStorageType::Gcs,
                _ => {
                    return Err(format!(
                        "{url:?} is no place for payloads; write a folder, s3://bucket/folder or \
                         gs://bucket/folder"
                    ));
                }
            };
            let parsed = Url::parse(url).map_err(|error| format!("{url:?}: {error}"))?;
            // Credentials and endpoints come from the variables that the clouds' own tools use.
            let options = std::env::vars().map(|(key, value)| (key.to_ascii_lowercase(), value));
            let (objects, prefix) = object_store::parse_url_opts(&parsed, options)
                .map_err(|error| format!("{url:?}: {error}"))?;
            Ok((objects.into(), Place { kind, prefix, base }))
        }
    }
}

fn folder(path: &FsPath) -> Result<(Arc<dyn ObjectStore>, Place), String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    std::fs::create_dir_all(path).map_err(|error| named(&error))?;
    let path = path.canonicalize().map_err(|error| named(&error))?;
    let objects = LocalFileSystem::new_with_prefix(&path).map_err(|error| named(&error))?;
    let place = Place {
        kind: PayloadStorageType::Filesystem,
        prefix: Path::default(),
        base: format!("file://{}", path.display()),
    };
    Ok((Arc::new(objects), place))
}
