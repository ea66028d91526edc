//! The store in memory keeps what every store promises.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_keeps_the_contract() {
    carryall_store::contract::check(|| async { carryall_store::Memory::new() }).await;
}
