//! How a test of a program that talks to Docker has an engine of its own: a simulator on a loopback port, asked through
//! bollard, and asked in the end what it was asked.

use std::thread;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, LogsOptionsBuilder,
    WaitContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::TryStreamExt;
use libswarm::backend::Registry;
use libswarm_host::{ServerBuilder, Stopper, stopper};
use serde_json::Value;

/// An engine for one test. It ends with it, as soon as its clients have hung up.
struct Engine {
    address: String,
    stopper: Stopper,
}

impl Engine {
    /// `words` are those of the backend: `--state FILE`, names of containers…
    fn start(words: &str) -> Self {
        let (stopper, stopped) = stopper().unwrap();
        let server = ServerBuilder::new(Registry::standard())
            .listen("tcp://127.0.0.1:0".parse().unwrap())
            .backend(format!("simulator --control {words}"))
            .build(stopped)
            .unwrap();
        let address = server.listeners[0].address().to_string();
        thread::spawn(|| libswarm_std::run(server));
        Self { address, stopper }
    }

    fn docker(&self) -> Docker {
        Docker::connect_with_http(&self.address, 10, API_DEFAULT_VERSION).unwrap()
    }

    /// Says something to the control, and gives its answer.
    fn control(&self, method: &str, place: &str, body: &str) -> Value {
        use std::io::{Read, Write};
        let address = self.address.trim_start_matches("tcp://");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} /_simulator/{place} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

/// What is tested: runs a script in a container, and gives what it said and its status.
async fn run(docker: &Docker, script: &str) -> Result<(String, i64), bollard::errors::Error> {
    let pull = CreateImageOptionsBuilder::new().from_image("alpine").tag("3.20").build();
    docker.create_image(Some(pull), None, None).try_collect::<Vec<_>>().await?;
    let options = CreateContainerOptionsBuilder::new().name("job").build();
    let config = ContainerCreateBody {
        image: Some("alpine:3.20".into()),
        cmd: Some(["sh", "-c", script].map(String::from).into()),
        ..ContainerCreateBody::default()
    };
    let container = docker.create_container(Some(options), config).await?.id;
    docker
        .start_container(&container, None::<bollard::query_parameters::StartContainerOptions>)
        .await?;
    let waited = docker.wait_container(&container, None::<WaitContainerOptions>);
    let status = match waited.try_collect::<Vec<_>>().await {
        Ok(ended) => ended[0].status_code,
        // bollard takes a status that is not 0 for an error.
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => code,
        Err(error) => return Err(error),
    };
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
    let lines: Vec<_> = docker.logs(&container, Some(options)).try_collect().await?;
    let said = lines.iter().map(ToString::to_string).collect();
    docker
        .remove_container(&container, None::<bollard::query_parameters::RemoveContainerOptions>)
        .await?;
    Ok((said, status))
}

#[tokio::test]
async fn a_program_is_tested_without_an_engine() {
    let engine = Engine::start("");
    let (said, status) = run(&engine.docker(), "echo hello; exit 3").await.unwrap();
    assert_eq!((&*said, status), ("hello\n", 3));

    let asked = engine.control("GET", "requests", "");
    let calls: Vec<(&str, u64)> = asked["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (call["job"].as_str().unwrap(), call["status"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("pull", 200),
        ("create", 201),
        ("start", 204),
        ("wait", 200),
        ("logs", 200),
        ("container_delete", 204),
    ];
    assert_eq!(calls, expected);
    assert_eq!(asked["requests"][1]["body"]["Cmd"][2], "echo hello; exit 3");
}

#[tokio::test]
async fn what_goes_wrong_is_tested_too() {
    let engine = Engine::start("");
    let fault =
        r#"{"job": "start", "nth": 1, "error": {"status": 500, "message": "no more processes"}}"#;
    engine.control("POST", "faults", fault);
    let failed = run(&engine.docker(), "true").await.unwrap_err();
    assert!(failed.to_string().contains("no more processes"), "{failed}");
    let left = engine.control("GET", "requests?job=container_delete", "");
    assert_eq!(
        left["requests"],
        Value::Array(Vec::new()),
        "a container is left behind: a bug is found"
    );
}
