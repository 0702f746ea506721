#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use prost_types::FileDescriptorSet;

use super::descriptor_set;
use crate::Dialect;

/// A reflection client resolves every import and every type name, so a dangling one would fail it.
#[test]
fn every_import_and_type_resolves_under_every_dialect() {
    for dialect in Dialect::ALL {
        let set = descriptor_set(dialect).unwrap();
        let files: BTreeSet<_> = set.file.iter().map(|file| file.name().to_owned()).collect();
        let types = type_names(&set);
        assert!(
            types.contains(&format!(".{}", dialect.qualify("EventBook"))),
            "{dialect:?}"
        );
        for file in &set.file {
            for import in &file.dependency {
                assert!(
                    files.contains(import),
                    "{dialect:?}: {} imports {import}",
                    file.name()
                );
            }
            for field in file.message_type.iter().flat_map(|message| &message.field) {
                let name = field.type_name();
                assert!(
                    name.is_empty() || types.contains(name),
                    "{dialect:?}: {name}"
                );
            }
            for method in file.service.iter().flat_map(|service| &service.method) {
                assert!(
                    types.contains(method.input_type()),
                    "{dialect:?}: {method:?}"
                );
                assert!(
                    types.contains(method.output_type()),
                    "{dialect:?}: {method:?}"
                );
            }
        }
    }
}

fn type_names(set: &FileDescriptorSet) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            names.insert(format!(".{package}.{}", message.name()));
            for nested in &message.nested_type {
                names.insert(format!(".{package}.{}.{}", message.name(), nested.name()));
            }
            for declared in &message.enum_type {
                names.insert(format!(".{package}.{}.{}", message.name(), declared.name()));
            }
        }
        for declared in &file.enum_type {
            names.insert(format!(".{package}.{}", declared.name()));
        }
    }
    names
}
