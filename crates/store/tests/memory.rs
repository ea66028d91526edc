//! Runs the contract suite against the in-memory store.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_contract_suite() {
    carryall_store::contract::check(|| async { carryall_store::Memory::new() }).await;
}
