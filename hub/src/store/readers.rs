//! Connections that only read, for everything that is not a write.

use super::{connection, error::Error};
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Reads at the same time. SQLite reads from its page cache, so more than the cores there usually are gains nothing.
const CONNECTIONS: usize = 4;

/// How long a read waits for its turn before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let idle = (0..CONNECTIONS).map(|_| connection::reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), turns: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    /// Runs a query on a thread for blocking work. All that it reads is of one moment.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let turn = turn.await.map_err(|_| Error::Unavailable)?.map_err(|_| Error::Unavailable)?;
        let idle = Arc::clone(&self.idle);
        let done = tokio::task::spawn_blocking(move || {
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(Error::Unavailable)?;
            let result = in_one_moment(&connection, query);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(turn);
            result
        });
        done.await.map_err(|_| Error::Unavailable)?
    }

    /// Refuses new reads, waits for those that run, and closes the connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(PATIENCE, self.turns.acquire_many(all)).await;
        self.turns.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn in_one_moment<T>(connection: &Connection, query: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
    let transaction = connection.unchecked_transaction()?;
    let result = query(&transaction)?;
    transaction.commit()?;
    Ok(result)
}
