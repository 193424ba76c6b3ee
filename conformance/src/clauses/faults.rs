//! Level faults: a backend that fails.

use session_core::{Condition, Driver, ErrorKind};

use crate::common::{fails, holds, put, record};
use crate::failure::Check;
use crate::stage::Stage;

pub(crate) async fn f01_a_damaged_record_is_corrupt_and_its_neighbours_live(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("damaged");
    for number in 0..5 {
        put(&driver, &stage.key(&format!("neighbour-{number}")), &record(number + 1)).await?;
    }
    put(&driver, &key, &record(77)).await?;
    stage.damage(&key).await?;
    for _ in 0..2 {
        fails(driver.retrieve(&key).await, ErrorKind::Corrupt, "retrieving a damaged record")?;
    }
    for number in 0..5 {
        let neighbour = stage.key(&format!("neighbour-{number}"));
        holds(&driver, &neighbour, &record(number + 1), "a neighbour of a damaged record").await?;
    }
    let other = stage.key("neighbour-0");
    let answer = driver.store(&other, record(9), Condition::Any).await?;
    crate::common::yes(&answer, "a store next to a damaged record")?;
    fails(driver.retrieve(&key).await, ErrorKind::Corrupt, "retrieving the damaged record again")
}
