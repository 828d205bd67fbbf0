use crate::store::{
    RecordFilter, RecordOrder,
    testing::{Fixture, NOW},
};
use sitewarden_protocol::record::{Body, EpochBegun, kind};

#[tokio::test]
async fn pages_go_through_all_records_in_either_order() {
    let fixture = Fixture::new().await;
    for seed in [1, 2] {
        let mut plant = fixture.agent(seed).await;
        plant.record(&Body::EpochBegun(EpochBegun { previous: 0, kept: 0, written: 0, cause: "enrolled".into() }));
        plant.events("EMS", 6);
        fixture.store.ingest(NOW, plant.batch(0, 7, 0)).await.unwrap();
    }
    for (order, first) in [(RecordOrder::OldestFirst, (1, 1)), (RecordOrder::NewestFirst, (2, 7))] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let of = RecordFilter::Site(fixture.site);
            let page = fixture.store.list_records(of, None, order, after, 3).await.unwrap();
            seen.extend(page.records.iter().map(|record| (record.agent.as_bytes()[0], record.seq)));
            let Some(next) = page.next else { break };
            after = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(seen.first(), Some(&first), "{order:?}");
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        if order == RecordOrder::NewestFirst {
            sorted.reverse();
        }
        assert_eq!((seen.len(), &seen), (14, &sorted), "{order:?}");
    }
}

#[tokio::test]
async fn one_kind_is_picked_out() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.record(&Body::EpochBegun(EpochBegun { previous: 0, kept: 0, written: 0, cause: "enrolled".into() }));
    plant.events("EMS", 3);
    fixture.store.ingest(NOW, plant.batch(0, 4, 0)).await.unwrap();
    let of = RecordFilter::Agent(plant.id);
    let page = fixture.store.list_records(of, Some(kind::EVENT), RecordOrder::OldestFirst, None, 10).await.unwrap();
    assert_eq!(page.records.iter().map(|record| record.seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(page.records[0].app.as_deref(), Some("EMS"));
    assert_eq!(page.next, None);
    assert!("1.2".parse::<crate::store::RecordCursor>().is_err());
}
