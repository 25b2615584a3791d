//! What both benchmarks measure: requests as docker clients send them, and what is done with each.

use std::hint::black_box;

use libswarm::backend::Registry;
use libswarm::docker::routes;
use libswarm::docker::version::ApiVersion;
use libswarm::http1::{Limits, Server, ServerEvent};
use libswarm::job::{Engine, Job};
use libswarm::node::{Action, Config, Input};
use libswarm::{ConnId, Instant, Node};

/// `docker ps` of a docker CLI 28.
pub(crate) const GET: &[u8] = b"GET /v1.41/containers/json HTTP/1.1\r\n\
    Host: api.moby.localhost\r\n\
    User-Agent: Docker-Client/28.2.2 (linux)\r\n\r\n";

/// `docker run` of the same CLI.
pub(crate) const CREATE: &[u8] = b"POST /v1.41/containers/create?name=web HTTP/1.1\r\n\
    Host: api.moby.localhost\r\n\
    User-Agent: Docker-Client/28.2.2 (linux)\r\n\
    Content-Length: 1092\r\n\
    Content-Type: application/json\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip\r\n\r\n\
    {\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,\"AttachStdout\":true,\
    \"AttachStderr\":true,\"ExposedPorts\":{\"80/tcp\":{}},\"Tty\":false,\"OpenStdin\":false,\"StdinOnce\":false,\
    \"Env\":[\"MODE=production\",\"LISTEN=0.0.0.0:80\"],\"Cmd\":[\"nginx\",\"-g\",\"daemon off;\"],\
    \"Image\":\"nginx:1.27\",\"Volumes\":{},\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,\
    \"Labels\":{\"com.example.team\":\"web\"},\"HostConfig\":{\"Binds\":[\"/srv/www:/usr/share/nginx/html:ro\"],\
    \"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"\",\"Config\":{}},\"NetworkMode\":\"default\",\
    \"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]},\
    \"RestartPolicy\":{\"Name\":\"unless-stopped\",\"MaximumRetryCount\":0},\"AutoRemove\":false,\
    \"VolumeDriver\":\"\",\"VolumesFrom\":null,\"ConsoleSize\":[50,180],\"CapAdd\":null,\"CapDrop\":null,\
    \"CgroupnsMode\":\"\",\"Dns\":[],\"DnsOptions\":[],\"DnsSearch\":[],\"ExtraHosts\":null,\"GroupAdd\":null,\
    \"IpcMode\":\"\",\"Cgroup\":\"\",\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":false,\
    \"PublishAllPorts\":false,\"ReadonlyRootfs\":false,\"SecurityOpt\":null,\"UTSMode\":\"\",\"UsernsMode\":\"\",\
    \"ShmSize\":0},\"NetworkingConfig\":{\"EndpointsConfig\":{\"default\":{}}}}\n";

/// What that CLI sends before nearly every command.
pub(crate) const PING: &[u8] = b"HEAD /_ping HTTP/1.1\r\n\
    Host: api.moby.localhost\r\n\
    User-Agent: Docker-Client/28.2.2 (linux)\r\n\r\n";

/// From the bytes of a head to the job that they ask for, as the first request of a connection.
#[inline(never)]
pub(crate) fn job(bytes: &[u8]) -> Job {
    let mut server = Server::new(Limits::default());
    match server.receive(black_box(bytes)) {
        Ok((_, Some(ServerEvent::Request(head)))) => {
            Job::from_request(head, ApiVersion::MIN..=ApiVersion::MAX)
        }
        other => panic!("the head of a request is there: {other:?}"),
    }
}

/// The least that has to be done with a head: httparse's tokens, with the room that its users give it.
#[inline(never)]
pub(crate) fn httparse(bytes: &[u8]) -> usize {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(black_box(bytes)) {
        Ok(httparse::Status::Complete(length)) => {
            black_box(&request);
            length
        }
        other => panic!("the head of a request is there: {other:?}"),
    }
}

/// The row of the table for a method and a target.
#[inline(never)]
pub(crate) fn lookup(method: &str, target: &str) -> bool {
    black_box(routes::lookup(black_box(method), black_box(target))).route.is_some()
}

/// A node with a simulator of `containers` containers, and one connection.
pub(crate) struct Service {
    node: Node,
    client: ConnId,
    out: Vec<u8>,
}

impl Service {
    pub(crate) fn new(containers: usize) -> Self {
        let mut engine = Engine::new(1);
        let names = (1..=containers).map(|nth| format!(" c{nth}")).collect::<String>();
        let (name, backend) = Registry::standard().make(&format!("simulator{names}")).unwrap();
        engine.push(name, backend);
        let mut node = Node::new(Config::default(), engine);
        let client = node.accept(Instant::ZERO).unwrap();
        let mut service = Self { node, client, out: Vec::new() };
        service.act();
        service
    }

    /// One request and its whole answer, as a runtime brings them about; returns the answer's length.
    #[inline(never)]
    pub(crate) fn request(&mut self, bytes: &[u8]) -> usize {
        self.node.handle(Instant::ZERO, Input::Received(self.client, black_box(bytes)));
        self.act()
    }

    fn act(&mut self) -> usize {
        let mut written = 0;
        loop {
            self.out.clear();
            match self.node.poll(&mut self.out) {
                Some(Action::Write { conn, length }) => {
                    written += length;
                    self.node.handle(Instant::ZERO, Input::Done(conn));
                }
                Some(Action::Read(_)) => {}
                Some(other) => panic!("{other:?}"),
                None => return written,
            }
        }
    }
}
