//! The properties of the fuzz targets, over random input in every test run.

// Public in the crate it belongs to.
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/properties.rs"]
mod properties;

use proptest::prelude::*;

/// Bytes near the grammars at hand, and plain noise.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        "[\\[\\]{}:,\"\\\\a-c0-9 \n\r]{0,6}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":",
            "{\"name\":\"a\",\"_meta\":{",
            "}}}",
            "\"id\":null",
            "=?base64?",
            "?=",
            "SGk=",
            "data:",
            "data: x",
            "event: e",
            "\n\n",
            "\r\n",
            "\r",
            "\u{feff}",
            ":",
            "id:7\n",
            "c1.",
            "AWFiYw",
            "{\"properties\":{\"p\":{\"type\":\"string\",\"x-mcp-header\":\"P\"}}}",
            "{\"p\":\"v\"}",
            "2026-07-28\n",
            "tools/call\n",
            "\0",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "a=1,b=2;c",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(fragment, 0..16).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_frame_is_taken_or_refused(data in input()) {
        properties::message(&data);
    }

    #[test]
    fn headers_hold_against_any_body(data in input()) {
        properties::headers(&data);
    }

    #[test]
    fn any_text_survives_a_header(data in input()) {
        properties::sentinel(&data);
    }

    #[test]
    fn events_do_not_depend_on_the_cuts(data in input()) {
        properties::sse(&data);
    }

    #[test]
    fn lines_do_not_depend_on_the_cuts(data in input()) {
        properties::frame(&data);
    }

    #[test]
    fn only_encoded_cursors_decode(data in input()) {
        properties::cursor(&data);
    }
}
