//! Unknown values of extensible hints do not make a message fail to decode.

use carryall_types::{IconTheme, ListToolsResult, ResourceTemplate, Role};
use serde_json::json;

#[test]
fn an_unknown_icon_theme_is_kept() {
    let theme = |theme: &str| json!({"src": "data:,", "theme": theme});
    let list = json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [
        {"name": "a", "inputSchema": {"type": "object"}, "icons": [theme("sepia"), theme("dark")]},
    ]});
    let decoded: ListToolsResult = serde_json::from_value(list.clone()).unwrap();
    let themes: Vec<_> = decoded.tools[0]
        .icons
        .iter()
        .flatten()
        .map(|icon| icon.theme.clone().unwrap())
        .collect();
    assert_eq!(themes, [IconTheme::Other("sepia".into()), IconTheme::Dark]);
    assert_eq!(
        serde_json::to_value(&decoded.tools[0]).unwrap(),
        list["tools"][0],
        "the theme round-trips"
    );
}

#[test]
fn an_unknown_role_in_an_audience_is_ignored() {
    let template = json!({"uriTemplate": "x:{a}", "name": "t", "annotations": {"audience": ["robot", "user", 5], "priority": 1}});
    let decoded: ResourceTemplate = serde_json::from_value(template).unwrap();
    assert_eq!(
        decoded.annotations.unwrap().audience,
        Some(vec![Role::User])
    );
}
