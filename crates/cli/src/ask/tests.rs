use super::*;
use carryall::types::{
    ElicitAction, ElicitRequestFormParams, ElicitRequestURLParams, JsonValue, RequestedSchema,
    StringFormat,
};
use serde_json::json;
use std::collections::VecDeque;

/// What is answered next.
#[derive(Debug)]
enum Say {
    /// Enter, which takes what stands there.
    Enter,
    Text(&'static str),
    Yes(bool),
    /// The item that reads like this.
    Pick(&'static str),
    Marked(&'static [usize]),
    /// Ctrl-C.
    Break,
}

use Say::{Break, Enter, Marked, Pick, Text, Yes};

/// Somebody who knows all answers beforehand, and remembers what was on the screen.
#[derive(Default)]
struct Script {
    answers: VecDeque<Say>,
    seen: Vec<String>,
    opened: Vec<String>,
    browser: bool,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Say>) -> Self {
        Self {
            answers: answers.into_iter().collect(),
            browser: true,
            ..Self::default()
        }
    }

    fn next(&mut self, prompt: String) -> io::Result<Say> {
        self.seen.push(prompt.clone());
        match self.answers.pop_front() {
            Some(Break) => Err(io::ErrorKind::Interrupted.into()),
            Some(answer) => Ok(answer),
            None => panic!("nobody thought of {prompt:?}: {:#?}", self.seen),
        }
    }

    #[track_caller]
    fn saw(&self, part: &str) {
        assert!(
            self.seen.iter().any(|line| line.contains(part)),
            "{part:?} is not in {:#?}",
            self.seen
        );
    }
}

impl Source for Script {
    fn tell(&mut self, parts: &[(Tone, &str)]) {
        let line = parts.iter().map(|(tone, part)| match tone {
            Tone::Strong => format!("*{part}*"),
            Tone::Warning => format!("! {part}"),
            Tone::Plain | Tone::Faint => (*part).to_owned(),
        });
        self.seen.push(line.collect());
    }

    fn text(&mut self, prompt: &str, default: Option<&str>) -> io::Result<String> {
        let shown = default
            .map(|default| format!(" [{default}]"))
            .unwrap_or_default();
        match self.next(format!("{prompt}{shown}"))? {
            Enter => Ok(default.unwrap_or_default().to_owned()),
            Text(text) => Ok(text.to_owned()),
            other => panic!("{prompt}: {other:?}"),
        }
    }

    fn yes(&mut self, prompt: &str, default: Option<bool>) -> io::Result<bool> {
        match self.next(format!("{prompt} {default:?}"))? {
            Enter => Ok(default.unwrap()),
            Yes(yes) => Ok(yes),
            other => panic!("{prompt}: {other:?}"),
        }
    }

    fn one_of(&mut self, prompt: &str, items: &[&str], at: usize) -> io::Result<usize> {
        match self.next(format!("{prompt} {items:?} at {at}"))? {
            Enter => Ok(at),
            Pick(wanted) => Ok(items.iter().position(|item| *item == wanted).unwrap()),
            other => panic!("{prompt}: {other:?}"),
        }
    }

    fn some_of(&mut self, prompt: &str, items: &[(&str, bool)]) -> io::Result<Vec<usize>> {
        match self.next(format!("{prompt} {items:?}"))? {
            Enter => Ok((0..items.len()).filter(|at| items[*at].1).collect()),
            Marked(marked) => Ok(marked.to_vec()),
            other => panic!("{prompt}: {other:?}"),
        }
    }

    fn open(&mut self, url: &str) -> io::Result<()> {
        self.opened.push(url.to_owned());
        if self.browser {
            Ok(())
        } else {
            Err(io::Error::other("no browser"))
        }
    }
}

fn form(schema: RequestedSchema) -> ElicitRequestParams {
    ElicitRequestFormParams::new("Tell me", schema).into()
}

fn booking() -> ElicitRequestParams {
    form(
        RequestedSchema::new()
            .string("date", |field| {
                field
                    .with_title("Day")
                    .with_format(StringFormat::Date)
                    .with_description("When")
            })
            .required()
            .integer("guests", |field| {
                field.with_minimum(1).with_maximum(12).with_default(2)
            })
            .required()
            .select_titled("seat", [("in", "Inside"), ("out", "Outside")], |field| {
                field
            })
            .multi_select("extras", ["dog", "pram"], |field| {
                field.with_max_items(1_u64)
            })
            .boolean("vegetarian", |field| field)
            .string("note", |field| field.with_max_length(5_u64)),
    )
}

fn asked(question: &ElicitRequestParams, script: &mut Script) -> ElicitResult {
    let answer = put(script, "http://h/mcp (book)", question).unwrap();
    assert!(
        script.answers.is_empty(),
        "{:?} was not asked for: {:#?}",
        script.answers,
        script.seen
    );
    answer
}

fn content(answer: ElicitResult) -> JsonValue {
    assert_eq!(answer.action, ElicitAction::Accept);
    JsonValue::Object(answer.content.unwrap())
}

// spec: elicitation-03, elicitation-05, elicitation-14, elicitation-26, elicitation-38
#[test]
fn a_form_is_filled_in_field_by_field_and_shown_before_it_is_sent() {
    let mut script = Script::of([
        Enter,
        Text("soon"),
        Text("2026-12-24"),
        Text("many"),
        Text("13"),
        Text("4"),
        Pick("Outside"),
        Marked(&[0, 1]),
        Marked(&[1]),
        Pick("no"),
        Text("too long"),
        Text("hi"),
        Enter,
    ]);
    let answer = content(asked(&booking(), &mut script));
    let expected = json!({
        "date": "2026-12-24", "guests": 4, "seat": "out", "extras": ["pram"], "vegetarian": false, "note": "hi"
    });
    assert_eq!(answer, expected);
    for part in [
        "*http://h/mcp (book)* asks:",
        "Tell me",
        "When",
        "Day (like 2026-07-28, required)",
        "! Day must be a date like",
        "guests (whole number, 1 to 12, required) [2]",
        "! guests must be a number",
        "! guests must be at most 12",
        "! extras must have at most 1 choices",
        "! note must have at most 5 characters",
        "  Day: 2026-12-24",
        "  seat: Outside",
        "  vegetarian: no",
        "Send this",
    ] {
        script.saw(part);
    }
}

#[test]
fn defaults_stand_there_and_what_is_optional_may_stay_empty() {
    let mut script = Script::of([
        Enter,
        Enter,
        Text("2026-12-24"),
        Enter,
        Enter,
        Enter,
        Enter,
        Enter,
        Enter,
    ]);
    assert_eq!(
        content(asked(&booking(), &mut script)),
        json!({"date": "2026-12-24", "guests": 2})
    );
    script.saw("! Day is required");
    let nothing = form(RequestedSchema::new());
    let mut script = Script::of([Enter, Enter]);
    assert_eq!(content(asked(&nothing, &mut script)), json!({}));
    script.saw("nothing is filled in");
}

// spec: elicitation-05
#[test]
fn what_was_filled_in_can_be_changed() {
    let question = form(
        RequestedSchema::new()
            .boolean("sure", |field| field.with_default(true))
            .number("ratio", |field| field)
            .multi_select("extras", ["dog", "pram"], |field| {
                field.with_default(vec!["dog".into()])
            })
            .integer("count", |field| field),
    );
    let first = [
        Enter,
        Yes(false),
        Text("0.5"),
        Marked(&[]),
        Text("2.0"),
        Pick("Change"),
    ];
    let second = [Enter, Text("1e2"), Enter, Enter, Pick("Send")];
    let mut script = Script::of(first.into_iter().chain(second));
    let answer = content(asked(&question, &mut script));
    assert_eq!(
        answer,
        json!({"sure": false, "ratio": 100.0, "extras": [], "count": 2})
    );
    script.saw("sure (optional) Some(true)");
    script.saw("sure (optional) Some(false)");
    script.saw("ratio (number, optional) [0.5]");
    script.saw("extras: none");
}

// spec: elicitation-04, elicitation-27
#[test]
fn it_can_be_declined_and_cancelled_at_either_end() {
    for (pick, action) in [
        ("Decline", ElicitAction::Decline),
        ("Cancel", ElicitAction::Cancel),
    ] {
        let early = asked(&booking(), &mut Script::of([Pick(pick)]));
        assert_eq!((early.action, early.content), (action, None));
        let late = form(RequestedSchema::new().string("note", |field| field));
        let late = asked(&late, &mut Script::of([Enter, Text("secret"), Pick(pick)]));
        assert_eq!((late.action, late.content), (action, None));
    }
}

#[test]
fn ctrl_c_ends_it_without_an_answer() {
    let ended = put(&mut Script::of([Enter, Break]), "h", &booking());
    assert!(
        matches!(ended, Err(PromptError::Terminal(error)) if error.kind() == io::ErrorKind::Interrupted)
    );
}

#[test]
fn a_form_that_nobody_can_fill_in_is_not_asked() {
    let mut missing = RequestedSchema::new();
    missing.required = Some(vec!["ghost".into()]);
    let empty = RequestedSchema::new()
        .select("none", Vec::<String>::new(), |field| field)
        .required();
    for schema in [missing, empty] {
        let ended = put(&mut Script::of([]), "h", &form(schema));
        assert!(
            matches!(&ended, Err(PromptError::Question(why)) if why.contains("requires")),
            "{ended:?}"
        );
    }
}

#[test]
fn nothing_that_a_terminal_obeys_gets_through() {
    let schema = RequestedSchema::new()
        .string("a\x1b[2J", |field| {
            field
                .with_title("T\x1b[31m")
                .with_description("D\x1b]0;x\x07\r")
                .with_default("d\u{202e}")
        })
        .select_titled("b", [("v", "\x1b[1mBold\nline"), ("w", "\x1b")], |field| {
            field
        })
        .required();
    let question = ElicitRequestFormParams::new("M\x1b[2K\nforged line", schema).into();
    let mut script = Script::of([Enter, Enter, Enter, Enter]);
    asked(&question, &mut script);
    script.saw("M\\u{1b}[2K forged line");
    script.saw(r#"["\\u{1b}[1mBold line", "\\u{1b}"]"#);
    for line in &script.seen {
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
    assert_eq!(short(&"x".repeat(500)).chars().count(), MAX_PROMPT + 1);
}

fn page(url: &str) -> ElicitRequestParams {
    ElicitRequestURLParams::new("Please sign in", url).into()
}

// spec: elicitation-06, elicitation-32, elicitation-33, elicitation-35
#[test]
fn a_page_is_shown_in_full_with_its_host_and_opened_when_wanted() {
    let url = "https://Accounts.Example.com:8443/login?next=https://other.example/#top";
    let mut script = Script::of([Pick("Open it in the browser")]);
    let answer = asked(&page(url), &mut script);
    assert_eq!(
        (answer.action, answer.content),
        (ElicitAction::Accept, None)
    );
    assert_eq!(script.opened, [url]);
    script.saw("Please sign in");
    script.saw("https://*Accounts.Example.com*:8443/login?next=https://other.example/#top");
    script.saw("belongs to *accounts.example.com*");
    // Enter alone opens nothing.
    let mut script = Script::of([Enter]);
    assert_eq!(asked(&page(url), &mut script).action, ElicitAction::Decline);
    assert!(script.opened.is_empty());
    for (pick, action) in [
        ("I open it myself", ElicitAction::Accept),
        ("Cancel", ElicitAction::Cancel),
    ] {
        let mut script = Script::of([Pick(pick)]);
        assert_eq!(asked(&page(url), &mut script).action, action);
        assert!(script.opened.is_empty());
    }
}

#[test]
fn without_a_browser_the_page_can_still_be_opened_by_hand() {
    let mut script = Script {
        browser: false,
        ..Script::of([Pick("Open it in the browser")])
    };
    assert_eq!(
        asked(&page("https://example.com/"), &mut script).action,
        ElicitAction::Accept
    );
    script.saw("! no browser could be started here: open the page yourself");
}

// spec: elicitation-35
#[test]
fn addresses_that_mislead_are_warned_of_or_not_shown_at_all() {
    let mut script = Script::of([Enter]);
    asked(&page("http://xn--pypal-4ve.example/"), &mut script);
    script.saw("! the host name is Punycode");
    script.saw("! the connection is not encrypted");
    for url in [
        "javascript:alert(1)",
        "https://good.example@evil.example/",
        "https://a b/",
        "file:///etc/passwd",
    ] {
        let mut script = Script::of([]);
        assert!(
            matches!(
                put(&mut script, "h", &page(url)),
                Err(PromptError::Question(_))
            ),
            "{url}"
        );
        assert!(
            !script.seen.iter().any(|line| line.contains(url)),
            "{:?}",
            script.seen
        );
    }
}
