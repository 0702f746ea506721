use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    ConfigError, Origin,
    interpolate::interpolate,
    node::{Node, Value},
    yaml,
};

const PREFIX: &str = "ANGZARR__";
const DEFAULT_FILE: &str = "angzarr.yaml";

/// Where to read the configuration, weakest first: `angzarr.yaml` in the folder, the file of
/// `--config`, the file of `ANGZARR_CONFIG`, variables `ANGZARR__SECTION__KEY`, flags.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The folder in which `angzarr.yaml` is looked for.
    pub folder: PathBuf,
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// Every environment variable.
    pub environment: BTreeMap<String, String>,
    /// Flags: how it is written on the command line, the dotted key it sets, and the value.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// The sources of this process.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String, String)>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            folder: PathBuf::from("."),
            file,
            environment,
            flags,
        }
    }

    /// The files that will be read, weakest first.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, &'static str)> {
        let mut files = Vec::new();
        let default = self.folder.join(DEFAULT_FILE);
        if default.is_file() {
            files.push((default, "found in the folder"));
        }
        if let Some(path) = &self.file {
            files.push((path.clone(), "named by --config"));
        }
        if let Some(path) = self
            .environment
            .get("ANGZARR_CONFIG")
            .filter(|path| !path.is_empty())
        {
            files.push((PathBuf::from(path), "named by ANGZARR_CONFIG"));
        }
        files
    }

    /// Everything in one tree, variables resolved.
    pub(super) fn tree(&self) -> Result<Node, ConfigError> {
        let mut tree = Node::new(Origin::Default, Value::Map(Vec::new()));
        for (path, named_by) in self.files() {
            tree.merge(self.resolve(read_file(&path, named_by)?)?);
        }
        for (name, text) in &self.environment {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let origin = Origin::Environment(name.clone());
            let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
            tree.set(&path, yaml::parse_value(&origin, text)?)?;
        }
        for (flag, key, text) in &self.flags {
            let origin = Origin::Flag(flag.clone());
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            tree.set(&path, yaml::parse_value(&origin, text)?)?;
        }
        Ok(tree)
    }

    fn resolve(&self, mut tree: Node) -> Result<Node, ConfigError> {
        tree.for_each_scalar(&mut |origin, text| {
            *text = interpolate(origin, text, &|name| self.environment.get(name).cloned())?;
            Ok(())
        })?;
        Ok(tree)
    }
}

fn read_file(path: &Path, named_by: &'static str) -> Result<Node, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_path_buf(),
        named_by,
        reason: error.to_string(),
    })?;
    let name = path.strip_prefix(".").unwrap_or(path);
    yaml::parse_file(&name.display().to_string(), &text)
}
