//! Finding services and being found, for programs that wait: each call blocks until there is an answer.
//!
//! A thread keeps the connection to a `discoverd`, says heartbeats, and looks for a server again that was lost. What was
//! registered and followed comes back by itself.
//!
//! ```
//! use libswarm_std::discovery::{Balance, Change, Client};
//!
//! # use libswarm::{address::StoreKind, backend::Registry};
//! # use libswarm_host::{Discovery, ServerBuilder, stopper};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (stopper, stopped) = stopper()?;
//! # let mut discovery = Discovery::default();
//! # discovery.settings.store = StoreKind::Memory;
//! # let server = ServerBuilder::new(Registry::empty())
//! #     .listen_discovery("tcp://127.0.0.1:0".parse()?).discovery(discovery).build(stopped)?;
//! # let place = server.listeners[0].address().to_string().replace("tcp://", "");
//! # let daemon = std::thread::spawn(|| libswarm_std::run(server));
//! // In a program: Client::connect(libswarm_std::discovery::servers())?
//! let client = Client::connect([place])?;
//!
//! // Registered as long as this is there.
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?.to_string();
//! let registration = client.register("web", &address, [("zone", "a")])?;
//!
//! let web = client.service("web")?;
//! assert_eq!(web.leader().unwrap().address, address);
//! assert_eq!(web.select([("zone", "b")]).len(), 0);
//! let mut watch = web.watch();
//! assert!(matches!(watch.next(), Some(Change::Came(instance)) if instance.address == address));
//! assert_eq!(watch.next(), Some(Change::Current));
//!
//! // To one of the instances that can be reached.
//! let stream = client.dialer(Balance::RoundRobin).dial("web")?;
//! assert_eq!(stream.peer_addr()?.to_string(), address);
//!
//! drop(registration);
//! assert!(matches!(watch.next(), Some(Change::Gone(_))));
//! # drop((watch, web)); client.close();
//! # stopper.stop();
//! # daemon.join().unwrap()?;
//! # Ok(())
//! # }
//! ```

pub use libswarm::discovery::client::{Balance, Check, CheckKind, Config, Error};
pub use libswarm::discovery::{Attributes, Change, Member};
pub use libswarm_host::client::blocking::{
    Client, Dialer, Leaders, Registration, Service, Standby, Watch,
};
pub use libswarm_host::client::{Checked, servers};
