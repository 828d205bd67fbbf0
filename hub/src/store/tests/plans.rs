//! How the database finds what lists and statistics of licences ask for: in an index, and never by reading all rows.

use crate::store::{licenses, machines, testing::Fixture, usage};

/// What a query's plan says, a step a line.
async fn plan(fixture: &Fixture, sql: String) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let read = fixture.store.read(move |connection| {
        let mut query = connection.prepare(&explain)?;
        let parameters = query.parameter_count();
        let values = vec![rusqlite::types::Value::Integer(1); parameters];
        let rows = query.query_map(rusqlite::params_from_iter(values), |row| row.get(3))?;
        Ok(rows.collect::<Result<Vec<String>, _>>()?)
    });
    read.await.unwrap()
}

#[tokio::test]
async fn every_list_and_every_statistic_is_a_search_in_an_index() {
    let fixture = Fixture::new().await;
    let of_usage = usage::queries().into_iter().map(str::to_owned);
    let all = licenses::queries().into_iter().chain(machines::queries()).chain(of_usage);
    let all: Vec<_> = all.chain([machines::MADE.to_owned()]).collect();
    assert!(all.len() >= 20, "{}", all.len());
    for sql in all {
        let plan = plan(&fixture, sql.clone()).await;
        for step in &plan {
            // The one list of everything reads as far as its page in the narrow index of numbers, and no row of the table.
            let narrow = step.contains("USING COVERING INDEX") || step.starts_with("LIST SUBQUERY");
            assert!(!step.starts_with("SCAN") || narrow, "{sql}\n{plan:#?}");
            assert!(!step.contains("TEMP B-TREE FOR GROUP BY"), "{sql}\n{plan:#?}");
        }
        assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{sql}\n{plan:#?}");
    }
}
