//! The clients of discovery as the README shows them. It needs a `discoverd`, and somebody who registers as `db`.

use std::error::Error;

use libswarm_std::discovery::{Balance, Change, Check, Client, servers};

fn main() -> Result<(), Box<dyn Error>> {
    // What DISCOVERD names: one server, or several for when one is lost.
    let client = Client::connect(servers())?;
    // Until it is dropped.
    let api = client.register("api", ":8080", [("zone", "a")])?;
    // While it is healthy.
    let checked = client.register_checked("web", ":80", [], Check::http("/ping"))?;

    let db = client.service("db")?;
    println!("{:?} leads {} instances", db.leader(), db.instances().len());
    // Passes over those that cannot be reached.
    let stream = client.dialer(Balance::RoundRobin).dial("db")?;

    // Waits until it leads.
    let cron = client.register_and_standby("cron", ":7000", [])?.wait()?;
    for change in db.watch() {
        if let Change::Gone(instance) = change {
            println!("{} is gone", instance.address);
        }
    }
    drop((api, checked, stream, cron));
    Ok(())
}
