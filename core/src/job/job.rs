//! What is asked of a backend.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use crate::docker::query;
use crate::docker::routes::{self, Matched, Params, Prefix, Reply, Route};
use crate::docker::version::ApiVersion;
use crate::http1::RequestHead;

/// One thing to do: a name, arguments and an environment. Its stdin, stdout, stderr and status are reached through the
/// [`Cx`](super::Cx) that a backend is lent.
///
/// A job that came as a request keeps the request's head untouched and decodes its arguments when they are asked for;
/// one that a backend starts itself is made by [`Job::new`].
#[derive(Clone, Debug)]
pub struct Job {
    name: Cow<'static, str>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Request(Request),
    Made { args: Vec<String>, env: Vec<(String, String)> },
}

/// The request that a job came as.
#[derive(Clone, Debug)]
pub struct Request {
    head: RequestHead,
    route: Option<&'static Route>,
    prefix: Prefix,
    params: Params,
}

impl Request {
    /// The head, byte for byte.
    #[must_use]
    pub const fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The row of the Docker API that it matched; `None` for a job named `http`.
    #[must_use]
    pub const fn route(&self) -> Option<&'static Route> {
        self.route
    }

    /// The API version in the target, if there was one.
    #[must_use]
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }
}

impl Job {
    /// The name of a job that no route of the Docker API matched. Its arguments are the method and the target.
    pub const HTTP: &'static str = "http";

    /// A job that a backend makes itself. Arguments and environment are added by [`with_arg`](Job::with_arg) and
    /// [`with_env`](Job::with_env).
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), source: Source::Made { args: Vec::new(), env: Vec::new() } }
    }

    /// The job that a request of the Docker API asks for; `http` where no route matches, or where the version asked
    /// for is not among `versions`.
    #[must_use]
    pub fn from_request(head: RequestHead, versions: RangeInclusive<ApiVersion>) -> Self {
        let Matched { route, version: prefix, params } =
            routes::lookup(head.method(), head.target());
        let route = route.filter(|_| match prefix {
            Prefix::None => true,
            Prefix::Version(version) => versions.contains(&version),
        });
        let name = route.map_or(Self::HTTP, |route| route.job);
        Self {
            name: Cow::Borrowed(name),
            source: Source::Request(Request { head, route, prefix, params }),
        }
    }

    /// Adds an argument. A job that came as a request is left as it came.
    #[must_use]
    pub fn with_arg(mut self, arg: impl Into<String>) -> Self {
        if let Source::Made { args, .. } = &mut self.source {
            args.push(arg.into());
        }
        self
    }

    /// Adds a variable. A job that came as a request is left as it came.
    #[must_use]
    pub fn with_env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        if let Source::Made { env, .. } = &mut self.source {
            env.push((key.into(), value.into()));
        }
        self
    }

    /// What is to be done: `containers`, `create`, `container_inspect`…; `swarmd --routes` lists them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `index`-th argument: for a request, the `index`-th parameter of its path, percent-decoded (left as it came
    /// if it is not well encoded).
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<Cow<'_, str>> {
        match &self.source {
            Source::Made { args, .. } => args.get(index).map(|arg| Cow::Borrowed(arg.as_str())),
            Source::Request(Request { head, route: None, .. }) => match index {
                0 => Some(Cow::Borrowed(head.method())),
                1 => Some(Cow::Borrowed(head.target())),
                _ => None,
            },
            Source::Request(Request { head, params, .. }) => {
                let raw = head.target().get(params.get(index)?)?;
                Some(query::percent_decode(raw, false).unwrap_or(Cow::Borrowed(raw)))
            }
        }
    }

    /// All arguments, in order.
    pub fn args(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..).map_while(|index| self.arg(index))
    }

    /// The first variable of that name: for a request, a pair of its query, decoded.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<Cow<'_, str>> {
        match &self.source {
            Source::Made { env, .. } => {
                env.iter().find(|(k, _)| k == key).map(|(_, v)| Cow::Borrowed(v.as_str()))
            }
            Source::Request(request) => {
                request.query().find(|(k, _)| k == key).map(|(_, value)| value)
            }
        }
    }

    /// All variables, in order, repeats included.
    pub fn envs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let (made, request) = match &self.source {
            Source::Made { env, .. } => (env.as_slice(), None),
            Source::Request(request) => (&[][..], Some(request.query())),
        };
        made.iter()
            .map(|(k, v)| (Cow::Borrowed(k.as_str()), Cow::Borrowed(v.as_str())))
            .chain(request.into_iter().flatten())
    }

    /// A variable read as the Docker engine reads booleans: absent, empty, `0`, `no`, `false` and `none` are false.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.env(key).is_some_and(|value| query::boolean(&value))
    }

    /// The request that this job came as; `None` for one that a backend made.
    #[must_use]
    pub const fn request(&self) -> Option<&Request> {
        match &self.source {
            Source::Request(request) => Some(request),
            Source::Made { .. } => None,
        }
    }

    /// The API version that was asked for: that of the target, else (for a request without one and for a job that a
    /// backend made) `newest`.
    #[must_use]
    pub fn api_version(&self, newest: ApiVersion) -> ApiVersion {
        match self.request().map(Request::prefix) {
            Some(Prefix::Version(version)) => version,
            _ => newest,
        }
    }

    /// Whether this job has no end of its own: `events`, `wait`, `logs` that follow, `stats` that stream.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.request().is_some_and(|request| {
            request
                .route
                .is_some_and(|route| route.is_endless(routes::query(request.head.target())))
        })
    }

    /// Whether this job, when it begins to answer, takes its connection over for a raw stream in both directions:
    /// `attach`, `exec_start`, `session`, `grpc`.
    #[must_use]
    pub fn hijacks(&self) -> bool {
        let route = self.request().and_then(Request::route);
        route.is_some_and(|route| matches!(route.reply, Reply::Hijack | Reply::Upgrade))
    }
}

impl Request {
    fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(routes::query(self.head.target()).unwrap_or_default())
    }
}

impl fmt::Display for Job {
    /// Name and arguments, as in a log: `container_inspect("web")`. Control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, arg) in self.args().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{:?}", arg.to_string())?;
        }
        f.write_str(")")
    }
}
