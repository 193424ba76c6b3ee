//! Level session: the session layer over the driver.

mod checks;
mod clock;
mod commit;
mod common;
mod ending;
mod find;
mod flash;
mod handover;
mod identity;
mod lifecycle;
mod login;
mod order;
mod reference;
mod remember;
mod renewal;
mod replay;
mod several;
mod time;
mod users;
mod values;

pub(crate) use {
    checks::*, clock::*, commit::*, ending::*, find::*, flash::*, handover::*, identity::*, lifecycle::*,
    login::*, order::*, reference::*, remember::*, renewal::*, replay::*, several::*, time::*, users::*,
    values::*,
};
