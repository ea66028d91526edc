use super::*;
use carryall::types::{
    ElicitAction, ElicitRequestFormParams, ElicitRequestURLParams, JsonValue, RequestedSchema,
    StringFormat,
};
use serde_json::json;
use std::collections::VecDeque;

/// One answer.
#[derive(Debug)]
enum Say {
    /// Enter, which takes the default.
    Enter,
    Text(&'static str),
    Yes(bool),
    /// Selects the item with this text.
    Pick(&'static str),
    Marked(&'static [usize]),
    /// Ctrl-C.
    Break,
}

use Say::{Break, Enter, Marked, Pick, Text, Yes};

/// Gives prepared answers, and records what was shown.
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
            None => panic!("no answer prepared for {prompt:?}: {:#?}", self.seen),
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

impl PromptUi for Script {
    fn print(&mut self, parts: &[(Tone, &str)]) {
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

    fn confirm(&mut self, prompt: &str, default: Option<bool>) -> io::Result<bool> {
        match self.next(format!("{prompt} {default:?}"))? {
            Enter => Ok(default.unwrap()),
            Yes(yes) => Ok(yes),
            other => panic!("{prompt}: {other:?}"),
        }
    }

    fn select(&mut self, prompt: &str, items: &[&str], initial: usize) -> io::Result<usize> {
        match self.next(format!("{prompt} {items:?} initially {initial}"))? {
            Enter => Ok(initial),
            Pick(wanted) => Ok(items.iter().position(|item| *item == wanted).unwrap()),
            other => panic!("{prompt}: {other:?}"),
        }
    }

    fn multi_select(&mut self, prompt: &str, items: &[(&str, bool)]) -> io::Result<Vec<usize>> {
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

fn answer_of(question: &ElicitRequestParams, script: &mut Script) -> ElicitResult {
    let answer = ask(script, "http://h/mcp (book)", question).unwrap();
    assert!(
        script.answers.is_empty(),
        "unused answers {:?}: {:#?}",
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
fn a_form_is_prompted_field_by_field_and_reviewed_before_it_is_sent() {
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
    let answer = content(answer_of(&booking(), &mut script));
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
        "! extras must have at most 1 options",
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
fn defaults_are_prefilled_and_optional_fields_may_be_left_out() {
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
        content(answer_of(&booking(), &mut script)),
        json!({"date": "2026-12-24", "guests": 2})
    );
    script.saw("! Day is required");
    let nothing = form(RequestedSchema::new());
    let mut script = Script::of([Enter, Enter]);
    assert_eq!(content(answer_of(&nothing, &mut script)), json!({}));
    script.saw("(empty)");
}

// spec: elicitation-05
#[test]
fn answers_can_be_changed_after_the_review() {
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
    let answer = content(answer_of(&question, &mut script));
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
fn a_form_can_be_declined_and_cancelled_before_and_after() {
    for (pick, action) in [
        ("Decline", ElicitAction::Decline),
        ("Cancel", ElicitAction::Cancel),
    ] {
        let early = answer_of(&booking(), &mut Script::of([Pick(pick)]));
        assert_eq!((early.action, early.content), (action, None));
        let late = form(RequestedSchema::new().string("note", |field| field));
        let late = answer_of(&late, &mut Script::of([Enter, Text("secret"), Pick(pick)]));
        assert_eq!((late.action, late.content), (action, None));
    }
}

#[test]
fn ctrl_c_ends_the_prompt_without_an_answer() {
    let ended = ask(&mut Script::of([Enter, Break]), "h", &booking());
    assert!(
        matches!(ended, Err(PromptError::Terminal(error)) if error.kind() == io::ErrorKind::Interrupted)
    );
}

#[test]
fn a_form_that_cannot_be_filled_in_is_refused() {
    let mut missing = RequestedSchema::new();
    missing.required = Some(vec!["ghost".into()]);
    let empty = RequestedSchema::new()
        .select("none", Vec::<String>::new(), |field| field)
        .required();
    for schema in [missing, empty] {
        let ended = ask(&mut Script::of([]), "h", &form(schema));
        assert!(
            matches!(&ended, Err(PromptError::Question(why)) if why.contains("requires")),
            "{ended:?}"
        );
    }
}

#[test]
fn text_of_the_server_is_sanitized() {
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
    answer_of(&question, &mut script);
    script.saw("M\\u{1b}[2K forged line");
    script.saw(r#"["\\u{1b}[1mBold line", "\\u{1b}"]"#);
    for line in &script.seen {
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
    assert_eq!(
        prompt_line(&"x".repeat(500)).chars().count(),
        MAX_PROMPT + 1
    );
}

fn page(url: &str) -> ElicitRequestParams {
    ElicitRequestURLParams::new("Please sign in", url).into()
}

// spec: elicitation-06, elicitation-32, elicitation-33, elicitation-35
#[test]
fn a_page_is_shown_with_its_host_and_opened_on_request() {
    let url = "https://Accounts.Example.com:8443/login?next=https://other.example/#top";
    let mut script = Script::of([Pick("Open it in the browser")]);
    let answer = answer_of(&page(url), &mut script);
    assert_eq!(
        (answer.action, answer.content),
        (ElicitAction::Accept, None)
    );
    assert_eq!(script.opened, [url]);
    script.saw("Please sign in");
    script.saw("https://*Accounts.Example.com*:8443/login?next=https://other.example/#top");
    script.saw("belongs to *accounts.example.com*");
    // The initial selection declines.
    let mut script = Script::of([Enter]);
    assert_eq!(
        answer_of(&page(url), &mut script).action,
        ElicitAction::Decline
    );
    assert!(script.opened.is_empty());
    for (pick, action) in [
        ("I will open it myself", ElicitAction::Accept),
        ("Cancel", ElicitAction::Cancel),
    ] {
        let mut script = Script::of([Pick(pick)]);
        assert_eq!(answer_of(&page(url), &mut script).action, action);
        assert!(script.opened.is_empty());
    }
}

#[test]
fn without_a_browser_the_user_opens_the_page() {
    let mut script = Script {
        browser: false,
        ..Script::of([Pick("Open it in the browser")])
    };
    assert_eq!(
        answer_of(&page("https://example.com/"), &mut script).action,
        ElicitAction::Accept
    );
    script.saw("! cannot start a browser: open the page yourself");
}

// spec: elicitation-35
#[test]
fn misleading_urls_are_warned_of_and_invalid_ones_not_shown() {
    let mut script = Script::of([Enter]);
    answer_of(&page("http://xn--pypal-4ve.example/"), &mut script);
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
                ask(&mut script, "h", &page(url)),
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
