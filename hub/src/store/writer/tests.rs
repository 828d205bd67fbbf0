use crate::store::{
    Error,
    testing::{Fixture, act},
};
use std::sync::mpsc;

#[tokio::test]
async fn many_writes_that_wait_share_few_commits() {
    let fixture = Fixture::new().await;
    let (release, held) = mpsc::channel::<()>();
    let before = fixture.store.commits();
    // One job holds the thread until all others wait.
    let holding = fixture.store.write(move |_| {
        let _ = held.recv();
        Ok(())
    });
    let others = (0..50).map(|number| {
        let store = fixture.store.clone();
        async move { store.add_customer(&act(), &format!("C{number}"), None).await.map(drop) }
    });
    let mut all = tokio::task::JoinSet::new();
    let mut holding = Box::pin(holding);
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(holding.as_mut().poll(cx).is_pending())).await);
    others.for_each(|other| drop(all.spawn(other)));
    // Each has handed its work on once it has been polled.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    holding.await.unwrap();
    while let Some(done) = all.join_next().await {
        done.unwrap().unwrap();
    }
    let commits = fixture.store.commits() - before;
    assert!(commits <= 3, "{commits} commits for 51 writes");
    assert_eq!(fixture.number("SELECT count(*) FROM customers").await, 51);
}

#[tokio::test]
async fn a_job_that_fails_leaves_no_trace_and_its_neighbours_alone() {
    let fixture = Fixture::new().await;
    let (store, before) = (&fixture.store, fixture.store.commits());
    let (release, held) = mpsc::channel::<()>();
    let holding = store.write(move |_| {
        let _ = held.recv();
        Ok(())
    });
    let insert = |name: &'static str, fails: bool| {
        store.write(move |tx| {
            tx.execute("INSERT INTO customers (name, created_at) VALUES (?, 0)", [name])?;
            if fails { Err(Error::NotFound { what: "reason" }) } else { Ok(()) }
        })
    };
    let releasing = async { release.send(()).unwrap() };
    let (held, one, bad, two, ()) =
        tokio::join!(holding, insert("one", false), insert("bad", true), insert("two", false), releasing);
    assert!(held.is_ok() && one.is_ok() && two.is_ok());
    assert!(matches!(bad, Err(Error::NotFound { .. })), "{bad:?}");
    assert!(store.commits() - before <= 2);
    assert_eq!(fixture.number("SELECT count(*) FROM customers WHERE name IN ('one', 'two')").await, 2);
    assert_eq!(fixture.number("SELECT count(*) FROM customers WHERE name = 'bad'").await, 0);
}

#[tokio::test]
async fn a_store_that_is_closed_says_so() {
    let fixture = Fixture::new().await;
    fixture.store.close().await;
    fixture.store.stopped().await;
    let late = fixture.store.add_customer(&act(), "late", None).await;
    assert!(matches!(late, Err(Error::Unavailable)), "{late:?}");
}
