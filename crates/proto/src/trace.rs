//! The formats of `traceparent`, `tracestate` and `baggage` in `_meta` (`basic/index#meta`, W3C
//! Trace Context and W3C Baggage). Invalid members are dropped, as those specifications require: an
//! invalid trace must not fail a call.

use carryall_types::JsonObject;

/// The three `_meta` keys.
pub const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

const MAX_STATE_MEMBERS: usize = 32;
const MAX_BAGGAGE_MEMBERS: usize = 180;
const MAX_BYTES: usize = 8192;

/// Whether the trace members of `_meta` are valid.
#[must_use]
pub fn is_valid(meta: &JsonObject) -> bool {
    invalid(meta).next().is_none()
}

/// Removes invalid trace members. A `tracestate` without a valid `traceparent` is removed too.
pub fn remove_invalid(meta: &mut JsonObject) {
    let keys: Vec<_> = invalid(meta).collect();
    for key in keys {
        meta.shift_remove(key);
    }
    if !meta.contains_key("traceparent") {
        meta.shift_remove("tracestate");
    }
}

fn invalid(meta: &JsonObject) -> impl Iterator<Item = &'static str> {
    let checks: [fn(&str) -> bool; 3] = [is_traceparent, is_tracestate, is_baggage];
    KEYS.into_iter().zip(checks).filter_map(|(key, check)| {
        let value = meta.get(key)?;
        (!value.as_str().is_some_and(check)).then_some(key)
    })
}

/// `version-traceid-parentid-flags`. Later versions may append more.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut hex = |length: usize| {
        parts
            .next()
            .filter(|part| part.len() == length && part.bytes().all(is_lower_hex))
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (hex(2), hex(32), hex(16), hex(2))
    else {
        return false;
    };
    let known_length = version != "00" || parts.next().is_none();
    let zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    known_length && version != "ff" && !zero(trace) && !zero(parent)
}

/// A list of at most 32 `key=value` members with different keys.
#[must_use]
pub fn is_tracestate(text: &str) -> bool {
    let mut keys = Vec::new();
    for member in text
        .split(',')
        .map(trim_ows)
        .filter(|member| !member.is_empty())
    {
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if !is_state_key(key)
            || !is_state_value(value)
            || keys.contains(&key)
            || keys.len() == MAX_STATE_MEMBERS
        {
            return false;
        }
        keys.push(key);
    }
    text.len() <= MAX_BYTES && !keys.is_empty()
}

/// A list of `key=value` members, each with properties behind semicolons.
#[must_use]
pub fn is_baggage(text: &str) -> bool {
    text.len() <= MAX_BYTES
        && text.split(',').count() <= MAX_BAGGAGE_MEMBERS
        && text.split(',').all(is_baggage_member)
}

fn is_state_key(key: &str) -> bool {
    let tail = |text: &str| {
        text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte)
        })
    };
    let head = |text: &str| {
        text.as_bytes()
            .first()
            .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    match key.split_once('@') {
        None => key.len() <= 256 && head(key) && tail(key),
        Some((tenant, system)) => {
            let letter = system
                .as_bytes()
                .first()
                .is_some_and(u8::is_ascii_lowercase);
            tenant.len() <= 241
                && head(tenant)
                && tail(tenant)
                && system.len() <= 14
                && letter
                && tail(system)
        }
    }
}

fn is_state_value(value: &str) -> bool {
    let allowed = |byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(allowed) && !value.ends_with(' ')
}

fn is_baggage_member(member: &str) -> bool {
    let mut parts = member.split(';').map(trim_ows);
    let Some((key, value)) = parts.next().and_then(|entry| entry.split_once('=')) else {
        return false;
    };
    is_token(trim_ows(key))
        && is_baggage_value(trim_ows(value))
        && parts.all(|property| match property.split_once('=') {
            Some((key, value)) => is_token(trim_ows(key)) && is_baggage_value(trim_ows(value)),
            None => is_token(property),
        })
}

fn is_baggage_value(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn trim_ows(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    // spec: meta-21
    #[test]
    fn traceparent_has_four_lower_case_hex_fields() {
        assert!(is_traceparent(PARENT));
        assert!(is_traceparent(&format!(
            "cc{}-what-the-future-brings",
            &PARENT[2..]
        )));
        for bad in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT[..54],
            &format!("{PARENT}0"),
            &format!("{PARENT}-x"),
            &format!("ff{}", &PARENT[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c_00f067aa0ba902b7_01",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    // spec: meta-21
    #[test]
    fn tracestate_is_a_list_of_distinct_keys() {
        for good in [
            "rojo=00f067aa0ba902b7",
            "a=1, b=2,\tc=x y",
            "1a@sys=v",
            "a=1,,b=2",
            "k_-*/=~!\"",
            &list(32),
        ] {
            assert!(is_tracestate(good), "{good}");
        }
        for bad in [
            "",
            ",",
            "a",
            "A=1",
            "a=",
            "a=1,a=2",
            "a=b=c",
            "a@1=x",
            "a@=x",
            "@b=x",
            "a=\u{e9}",
            "a b=1",
            &list(33),
        ] {
            assert!(!is_tracestate(bad), "{bad}");
        }
    }

    fn list(length: usize) -> String {
        (0..length)
            .map(|index| format!("k{index}=v"))
            .collect::<Vec<_>>()
            .join(",")
    }

    // spec: meta-21
    #[test]
    fn baggage_is_a_list_of_members_with_properties() {
        for good in [
            "userId=alice",
            "a=1;p;q=2 , b = %20x",
            "a=",
            "a=1=2",
            "t=x;p=\t1",
        ] {
            assert!(is_baggage(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "=1",
            "a=b c",
            "a=\"q\"",
            "a=b\\",
            "a=1,",
            "a=1;",
            "a=1; =2",
            "a(=1",
            "a=\u{e9}",
            &list(181),
            &format!("a={}", "x".repeat(8191)),
        ] {
            assert!(!is_baggage(bad), "{bad}");
        }
    }

    // spec: meta-21
    #[test]
    fn broken_members_are_taken_out_and_the_rest_stays() {
        let mut meta = json!({"traceparent": PARENT, "tracestate": "a", "baggage": 7, "other": 1})
            .as_object()
            .unwrap()
            .clone();
        assert!(!is_valid(&meta));
        remove_invalid(&mut meta);
        assert_eq!(json!(meta), json!({"traceparent": PARENT, "other": 1}));
        assert!(is_valid(&meta));
        let mut orphan = json!({"traceparent": "x", "tracestate": "a=1", "baggage": "a=1"})
            .as_object()
            .unwrap()
            .clone();
        remove_invalid(&mut orphan);
        assert_eq!(json!(orphan), json!({"baggage": "a=1"}));
    }

    proptest! {
        #[test]
        fn any_ids_make_a_traceparent(trace in 1u128.., parent in 1u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{parent:016x}-{flags:02x}");
            prop_assert!(is_traceparent(&text));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[a-f0-9=;,@ -]{0,60}") {
            let _ = (is_traceparent(&text), is_tracestate(&text), is_baggage(&text));
        }
    }
}
