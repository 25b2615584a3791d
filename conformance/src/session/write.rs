//! A session as text.

use std::fmt;

use super::{Session, Side, What, bytes};

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => ">",
            Self::Engine => "<",
        })
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "swarm-session 1")?;
        for (key, value) in &self.headers {
            writeln!(f, "{key}: {}", bytes::escape(value.as_bytes()))?;
        }
        writeln!(f)?;
        for event in &self.events {
            write!(f, "{}.{:03} {} ", event.at / 1000, event.at % 1000, event.conn)?;
            match &event.what {
                What::Open => writeln!(f, "open")?,
                What::End(side) => writeln!(f, "{side} end")?,
                What::Close(side) => writeln!(f, "{side} close")?,
                What::Data(side, data) => {
                    writeln!(f, "{side}")?;
                    let mut result = Ok(());
                    bytes::write(data, &mut |line| {
                        result = result.and_then(|()| writeln!(f, "  {line}"));
                    });
                    result?;
                }
            }
        }
        writeln!(f, "end {}", self.events.len())
    }
}
