//! Values as people write them: durations, sizes, choices.

use std::{fmt, str::FromStr, time::Duration};

/// `250ms`, `30s`, `5min`, `1h`; `0` is zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let problem =
        || format!("{text:?} is not a duration; write for example 250ms, 30s, 5min or 1h");
    let (number, unit) = split_unit(text);
    let number: u64 = number.parse().map_err(|_| problem())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 1,
        _ => return Err(problem()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(problem)
}

/// A duration above zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        Err("must be more than 0".to_owned())
    } else {
        Ok(duration)
    }
}

/// `512`, `64KiB`, `10 MiB`, `1GiB`: bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let problem = || format!("{text:?} is not a size; write for example 65536, 256KiB or 10MiB");
    let (number, unit) = split_unit(text);
    let number: u64 = number.parse().map_err(|_| problem())?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(problem()),
    };
    number.checked_mul(factor).ok_or_else(problem)
}

/// A size above zero.
pub(super) fn positive_bytes(text: &str) -> Result<u64, String> {
    let bytes = bytes(text)?;
    if bytes == 0 {
        Err("must be more than 0".to_owned())
    } else {
        Ok(bytes)
    }
}

/// A whole number within bounds.
pub(super) fn number<T>(low: T, high: T) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    move |text| match text.parse::<T>() {
        Ok(number) if number >= low && number <= high => Ok(number),
        _ => Err(format!(
            "{text:?} is not a whole number from {low} to {high}"
        )),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)], text: &str) -> Result<T, String> {
    choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is not one of {}", words.join(", "))
        })
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim())
}
