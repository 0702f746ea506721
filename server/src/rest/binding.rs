//! The HTTP options of the protocol.

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MethodDescriptor, Value};

/// One HTTP method and path, and the gRPC method it stands for.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) verb: Method,
    /// With `{field.path}` where a field of the request stands.
    pub(super) path: String,
    /// Whether the body is the request message.
    pub(super) body: bool,
    pub(super) method: MethodDescriptor,
    /// Path of the gRPC method.
    pub(super) target: PathAndQuery,
}

/// The bindings of every method of `services`. Methods that take a stream have none.
pub(super) fn bindings(pool: &DescriptorPool, services: &[String]) -> Result<Vec<Binding>, String> {
    let http = pool
        .get_extension_by_name("google.api.http")
        .ok_or("google.api.http is not described")?;
    let served = pool
        .services()
        .filter(|service| services.iter().any(|name| name == service.full_name()));
    let mut bindings = Vec::new();
    for method in served.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        bindings.extend(binding(method, &http)?);
    }
    Ok(bindings)
}

fn binding(
    method: MethodDescriptor,
    http: &ExtensionDescriptor,
) -> Result<Option<Binding>, String> {
    let options = method.options();
    if !options.has_extension(http) || method.is_client_streaming() {
        return Ok(None);
    }
    let rule = options.get_extension(http);
    let Some((verb, path)) = rule.as_message().and_then(pattern) else {
        return Err(format!(
            "{}: no verb in its HTTP option",
            method.full_name()
        ));
    };
    let body = rule.as_message().map(|rule| text(rule, "body"));
    let service = method.parent_service().full_name().to_owned();
    let target = format!("/{service}/{}", method.name());
    Ok(Some(Binding {
        verb,
        path,
        body: body.as_deref() == Some("*"),
        target: PathAndQuery::try_from(target).map_err(|error| error.to_string())?,
        method,
    }))
}

fn pattern(rule: &DynamicMessage) -> Option<(Method, String)> {
    const VERBS: [(&str, Method); 5] = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    VERBS.into_iter().find_map(|(name, verb)| {
        let path = text(rule, name);
        (!path.is_empty()).then_some((verb, path))
    })
}

fn text(rule: &DynamicMessage, field: &str) -> String {
    match rule.get_field_by_name(field).as_deref() {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}
