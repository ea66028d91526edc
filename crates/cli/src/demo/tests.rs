use super::*;
use carryall_testkit::{answer, call};
use serde_json::json;

fn demo(board: Board) -> (Arc<DemoState>, Server) {
    let state = Arc::new(DemoState {
        replica: "one".into(),
        board,
    });
    let server = build(state.clone(), &state.board.read(), None, 100, None).unwrap();
    (state, server)
}

#[tokio::test]
async fn whoami_returns_the_replica() {
    let (_, server) = demo(Board::in_memory());
    let answered = answer(&server, call("tools/call", json!({"name": "whoami"}))).await;
    assert_eq!(answered.text(), "replica one");
}

#[tokio::test]
async fn two_replicas_answer_the_same() {
    let file = std::env::temp_dir().join(format!("carryall-board-{}.json", std::process::id()));
    let ((_, one), (other_state, other)) = (
        demo(Board::in_file(file.clone())),
        demo(Board::in_file(file.clone())),
    );
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        (
            "tools/call",
            json!({"name": "forecast", "arguments": {"city": "Oslo"}}),
        ),
        ("resources/read", json!({"uri": "demo://capitals/norway"})),
    ] {
        let answers = [
            answer(&one, call(method, params.clone())).await,
            answer(&other, call(method, params)).await,
        ];
        assert_eq!(answers[0].response, answers[1].response, "{method}");
    }
    // A change through one replica is visible through the other.
    let posted = json!({"name": "post_notice", "arguments": {"text": "closed on Monday"}});
    assert_eq!(
        answer(&one, call("tools/call", posted)).await.text(),
        "Posted at demo://notice."
    );
    let read = answer(
        &other,
        call("resources/read", json!({"uri": "demo://notice"})),
    )
    .await;
    assert_eq!(
        read.result()["contents"][0]["text"],
        json!("closed on Monday")
    );
    let follower = tokio::spawn(sync::follow(
        other_state,
        other.clone(),
        BoardState::default(),
    ));
    answer(
        &one,
        call(
            "tools/call",
            json!({"name": "surprise", "arguments": {"show": true}}),
        ),
    )
    .await;
    let mut appeared = false;
    for _ in 0..100 {
        let tools = answer(&other, call("tools/list", json!({}))).await;
        appeared = tools.result()["tools"]
            .as_array()
            .unwrap()
            .iter()
            .any(|tool| tool["name"] == "surprise_party");
        if appeared {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    follower.abort();
    std::fs::remove_file(file).unwrap();
    assert!(appeared);
}
