use prost::{DecodeError, Message};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::{Dialect, FILE_DESCRIPTOR_SET};

/// The public protocol described under the package of a dialect, with the files it imports.
///
/// What the dialects differ in is left out: this describes what the server accepts under that
/// package. HTTP options are kept by [`FILE_DESCRIPTOR_SET`] only.
///
/// # Errors
/// None in practice: the set was written by the build of this crate.
pub fn descriptor_set(dialect: Dialect) -> Result<FileDescriptorSet, DecodeError> {
    // Our own packages are the same under every dialect, and refer to the newest one only.
    const OWN: [&str; 2] = ["angzarr.store.v1", "angzarr.internal.v1"];
    let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
    set.file.retain(|file| !OWN.contains(&file.package()));
    for file in &mut set.file {
        rename_file(file, dialect);
    }
    Ok(set)
}

fn rename_file(file: &mut FileDescriptorProto, dialect: Dialect) {
    if file.package() != Dialect::V1.package() {
        return;
    }
    file.package = Some(dialect.package().to_owned());
    file.name = file.name.as_deref().map(|name| rename_path(name, dialect));
    for dependency in &mut file.dependency {
        *dependency = rename_path(dependency, dialect);
    }
    for message in &mut file.message_type {
        rename_message(message, dialect);
    }
    for method in file
        .service
        .iter_mut()
        .flat_map(|service| &mut service.method)
    {
        method.input_type = method
            .input_type
            .as_deref()
            .map(|name| rename_type(name, dialect));
        method.output_type = method
            .output_type
            .as_deref()
            .map(|name| rename_type(name, dialect));
    }
}

fn rename_message(message: &mut DescriptorProto, dialect: Dialect) {
    for field in &mut message.field {
        field.type_name = field
            .type_name
            .as_deref()
            .map(|name| rename_type(name, dialect));
    }
    for nested in &mut message.nested_type {
        rename_message(nested, dialect);
    }
}

/// Type names in a descriptor begin with a dot.
fn rename_type(name: &str, dialect: Dialect) -> String {
    name.strip_prefix('.')
        .and_then(|name| name.strip_prefix(Dialect::V1.package()))
        .and_then(|name| name.strip_prefix('.'))
        .map_or_else(
            || name.to_owned(),
            |bare| format!(".{}", dialect.qualify(bare)),
        )
}

fn rename_path(path: &str, dialect: Dialect) -> String {
    let folder = |dialect: Dialect| dialect.package().replace('.', "/") + "/";
    path.strip_prefix(&folder(Dialect::V1))
        .map_or_else(|| path.to_owned(), |file| folder(dialect) + file)
}

#[cfg(test)]
mod tests;
