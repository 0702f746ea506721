/// The published forms of the protocol: the same messages under different package names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// The canonical package, which the server implements.
    #[default]
    V1,
    /// Spoken by version 0.5 of the Rust client library.
    Client05,
    /// Spoken by version 0.3 of the Python client library.
    Client03,
}

impl Dialect {
    /// Every dialect, the canonical one first: the order in which a peer is tried.
    pub const ALL: [Self; 3] = [Self::V1, Self::Client05, Self::Client03];

    /// Protobuf package of the messages and services, without dots at either end.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::V1 => "angzarr_client.proto.angzarr.v1",
            Self::Client05 => "angzarr_client.proto.angzarr",
            Self::Client03 => "angzarr",
        }
    }

    /// Name used in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Client05 => "client-0.5",
            Self::Client03 => "client-0.3",
        }
    }

    /// Fully qualified name of a service or message given by its bare name.
    #[must_use]
    pub fn qualify(self, name: &str) -> String {
        format!("{}.{name}", self.package())
    }

    /// Path of a method, as in `/package.Service/Method`.
    #[must_use]
    pub fn method_path(self, service: &str, method: &str) -> String {
        format!("/{}.{service}/{method}", self.package())
    }

    /// Dialect and the bare `Service/Method` of a path, when the path is of this protocol.
    ///
    /// Packages below a dialect's own, such as `angzarr.store.v1`, are not of the dialect.
    #[must_use]
    pub fn of_path(path: &str) -> Option<(Self, &str)> {
        let path = path.strip_prefix('/')?;
        let (qualified_service, _) = path.split_once('/')?;
        let (package, service) = qualified_service.rsplit_once('.')?;
        let dialect = Self::of_package(package)?;
        if service.is_empty() {
            return None;
        }
        let bare = path.get(package.len() + 1..)?;
        Some((dialect, bare))
    }

    /// Dialect of a package name.
    #[must_use]
    pub fn of_package(package: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.package() == package)
    }

    /// Dialect and bare name of an `Any`'s type, when it is a message of this protocol.
    ///
    /// What stands before the last `/` is of no importance.
    #[must_use]
    pub fn of_type_url(type_url: &str) -> Option<(Self, &str)> {
        let full_name = type_url.rsplit('/').next()?;
        let (package, name) = full_name.rsplit_once('.')?;
        Some((Self::of_package(package)?, name))
    }
}

#[cfg(test)]
mod tests;
