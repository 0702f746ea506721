use super::{ConfigError, Origin};

/// Replaces `${NAME}` and `${NAME:-default}` in one scalar; `$${` stands for `${`.
///
/// A default is used when the variable is unset or empty, as in a shell.
pub(super) fn interpolate(
    origin: &Origin,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = found.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let Some((reference, after)) = found.get(2..).and_then(|tail| tail.split_once('}')) else {
            return Err(bad(origin, text, "has no closing brace".to_owned()));
        };
        out.push_str(&resolve(origin, reference, variable)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn resolve(
    origin: &Origin,
    reference: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let written = format!("${{{reference}}}");
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(named) {
        return Err(bad(origin, &written, "is not a variable name".to_owned()));
    }
    match (variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let hint =
                format!("is not set; set the variable or write ${{{name}:-default}} instead");
            Err(bad(origin, &written, hint))
        }
    }
}

fn bad(origin: &Origin, key: &str, problem: String) -> ConfigError {
    ConfigError::BadValue {
        origin: origin.clone(),
        key: key.to_owned(),
        problem,
    }
}
