//! Builds in a world, from the archive to the last line: what dockerd 20.10.24 said to the same.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde_json::Value;

use super::context::tests::tar;
use super::{Build, Options, Progress};
use crate::backend::simulator::images::Image;
use crate::backend::simulator::mounts::names;
use crate::backend::simulator::world::World;
use crate::backend::simulator::world::tests::{LEGACY, world};
use crate::job::{Failure, Job};

/// Builds as its client waits, and returns what the client reads: the texts, and each other line between « and ».
fn build(world: &mut World, query: &[(&str, &str)], files: &[(&str, &str)]) -> Result<String, Failure> {
    let job = query.iter().fold(Job::new("build"), |job, (key, value)| job.with_env(*key, *value));
    let mut build = Build::new(Options::of(&job, LEGACY)?, &tar(files))?;
    while !build.is_done() {
        let Progress::Waits(serial) = build.advance(world) else { continue };
        while world.step(serial) {}
        while let Some((stream, bytes)) = world.take_output(serial) {
            build.hear(stream, &bytes);
        }
        world.reap(serial);
        let code = world.containers.get(serial).unwrap().exit_code;
        build.ended(world, code);
    }
    let mut text = String::new();
    for line in &build.output.lines {
        let line = core::str::from_utf8(line).unwrap();
        let document: Value = serde_json::from_str(line).unwrap();
        match document["stream"].as_str() {
            Some(stream) => text.push_str(stream),
            None => text.push_str(&format!("«{}»\n", line.trim_end())),
        }
    }
    Ok(text)
}

/// As [`build`], of one file, with ids as `I`.
fn said(world: &mut World, query: &[(&str, &str)], dockerfile: &str) -> String {
    let files = [("Dockerfile", dockerfile), ("a", "1"), ("b", "2")];
    match build(world, query, &files) {
        Ok(text) => without_ids(&text),
        Err(failure) => format!("{:?}: {}", failure.kind, failure.message),
    }
}

fn without_ids(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_digit) {
        let length = rest[start..].find(|c| !is_digit(c)).unwrap_or(rest.len() - start);
        out.push_str(&rest[..start]);
        out.push_str(if matches!(length, 12 | 64) { "I" } else { &rest[start..start + length] });
        rest = &rest[start + length..];
    }
    out + rest
}

fn image(world: &World, name: &str) -> Arc<Image> {
    Arc::clone(world.images.find(name).unwrap())
}

fn content(image: &Image, path: &str) -> String {
    let node = image.tree.get(&names(path)).unwrap_or_else(|| panic!("{path} is not there"));
    String::from_utf8_lossy(node.content().unwrap()).into_owned()
}

#[test]
fn a_build_is_told_step_by_step() {
    let mut world = world(&[]);
    let text = said(
        &mut world,
        &[("t", "built:1"), ("buildargs", r#"{"V":"2","U":"u"}"#)],
        "FROM busybox\nARG V=1\nRUN echo $V > /v && cat /v; echo err >&2\nLABEL a=b",
    );
    assert_eq!(
        text,
        "Step 1/4 : FROM busybox\n ---> I\nStep 2/4 : ARG V=1\n ---> Running in I\nRemoving intermediate container I\n \
         ---> I\nStep 3/4 : RUN echo $V > /v && cat /v; echo err >&2\n ---> Running in I\n2\n\u{1b}[91merr\n\u{1b}[0m\
         Removing intermediate container I\n ---> I\nStep 4/4 : LABEL a=b\n ---> Running in I\nRemoving intermediate \
         container I\n ---> I\n«{\"aux\":{\"ID\":\"sha256:I\"}}»\n[Warning] One or more build-args [U] were not consumed\n\
         Successfully built I\nSuccessfully tagged built:1\n"
    );
    let built = image(&world, "built:1");
    assert_eq!(content(&built, "/v"), "2\n");
    let steps: Vec<_> =
        built.history.iter().map(|step| (step.created_by.as_str(), step.empty_layer)).collect();
    assert_eq!(
        steps[steps.len() - 3..],
        [
            ("/bin/sh -c #(nop)  ARG V=1", true),
            ("|1 V=2 /bin/sh -c echo $V > /v && cat /v; echo err >&2", false),
            ("/bin/sh -c #(nop)  LABEL a=b", true),
        ]
    );
    assert_eq!(world.containers.len(), 0, "nothing is left of it");
    assert_eq!(world.images.newest_first().len(), 4);
}

#[test]
fn the_second_build_finds_the_first_in_the_cache() {
    let mut world = world(&[]);
    let file = "FROM busybox\nENV A=b\nRUN echo x > /x\nCOPY a /\nWORKDIR /w\nVOLUME /v\nCMD y";
    let first = said(&mut world, &[("t", "one")], file);
    assert!(!first.contains("Using cache"), "{first}");
    let second = said(&mut world, &[("t", "two")], file);
    assert_eq!(second.matches(" ---> Using cache\n").count(), 6, "{second}");
    assert_eq!(image(&world, "one").id, image(&world, "two").id);
    let other = said(&mut world, &[], &file.replace("echo x", "echo z"));
    assert_eq!(other.matches("Using cache").count(), 1, "what follows a miss is made anew: {other}");
    let fresh = said(&mut world, &[("nocache", "1")], file);
    assert!(!fresh.contains("Using cache"));
    let quiet = said(&mut world, &[("q", "1")], file);
    assert_eq!(quiet, "sha256:I\n");
    let changed = [("Dockerfile", file), ("a", "changed")];
    let text = build(&mut world, &[], &changed).unwrap();
    assert_eq!(text.matches("Using cache").count(), 2, "another file: {text}");
}

#[test]
fn all_instructions_are_kept_in_the_history() {
    let mut world = world(&[]);
    let text = said(
        &mut world,
        &[("t", "all"), ("labels", r#"{"l1":"v1","l2":"v2 x"}"#)],
        "FROM busybox\nENV A=1 B=\"two words\" P=/x:$PATH\nENV C three words\nLABEL old style\nEXPOSE 80 53/udp 8000-8001\n\
         VOLUME /a /b\nVOLUME [\"/c d\"]\nWORKDIR /w\nWORKDIR sub\nCMD echo hi\nCMD [\"echo\",\"a\\\"b\"]\n\
         ENTRYPOINT [\"/bin/echo\"]\nHEALTHCHECK --interval=5s --timeout=3s --retries=3 CMD true\nHEALTHCHECK NONE\n\
         SHELL [\"/bin/sh\",\"-e\",\"-c\"]\nSTOPSIGNAL SIGTERM\nONBUILD COPY . /app\nMAINTAINER me <me@x>\nCOPY a b /w/\n\
         ADD a rel\nRUN [\"sh\", \"-c\", \"pwd > /pwd\"]\nUSER 3",
    );
    assert!(text.contains("Note: overriding previous HEALTHCHECK: [CMD-SHELL true]\n"), "{text}");
    assert!(text.contains("Step 24/24 : LABEL l2=v2 x\n"), "{text}");
    let built = image(&world, "all");
    let mut steps: Vec<String> =
        built.history.iter().map(|step| without_ids(&step.created_by)).collect();
    let steps = steps.split_off(steps.len() - 23);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        steps,
        [
            &*format!("/bin/sh -c #(nop)  ENV A=1 B=two words P=/x:{path}"),
            "/bin/sh -c #(nop)  ENV C=three words",
            "/bin/sh -c #(nop)  LABEL old=style",
            "/bin/sh -c #(nop)  EXPOSE 53/udp 80 8000-8001",
            "/bin/sh -c #(nop)  VOLUME [/a /b]",
            "/bin/sh -c #(nop)  VOLUME [/c d]",
            "/bin/sh -c #(nop) WORKDIR /w",
            "/bin/sh -c #(nop) WORKDIR /w/sub",
            "/bin/sh -c #(nop)  CMD [\"/bin/sh\" \"-c\" \"echo hi\"]",
            "/bin/sh -c #(nop)  CMD [\"echo\" \"a\\\"b\"]",
            "/bin/sh -c #(nop)  ENTRYPOINT [\"/bin/echo\"]",
            "/bin/sh -c #(nop)  HEALTHCHECK &{[\"CMD-SHELL\" \"true\"] \"5s\" \"3s\" \"0s\" '\\x03'}",
            "/bin/sh -c #(nop)  HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" '\\x00'}",
            "/bin/sh -e -c #(nop)  SHELL [/bin/sh -e -c]",
            "/bin/sh -e -c #(nop)  STOPSIGNAL SIGTERM",
            "/bin/sh -e -c #(nop)  ONBUILD COPY . /app",
            "/bin/sh -e -c #(nop)  MAINTAINER me <me@x>",
            "/bin/sh -e -c #(nop) COPY multi:I in /w/ ",
            "/bin/sh -e -c #(nop) ADD file:I in rel ",
            "sh -c pwd > /pwd",
            "/bin/sh -e -c #(nop)  USER 3",
            "/bin/sh -e -c #(nop)  LABEL l1=v1",
            "/bin/sh -e -c #(nop)  LABEL l2=v2 x",
        ]
    );
    let config = serde_json::to_value(&*built.config).unwrap();
    assert_eq!(config["Cmd"], serde_json::json!(["echo", "a\"b"]));
    assert_eq!(config["WorkingDir"], "/w/sub");
    let ports: Vec<&String> = config["ExposedPorts"].as_object().unwrap().keys().collect();
    assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
    assert_eq!(built.author, "me <me@x>");
    assert_eq!((content(&built, "/pwd"), content(&built, "/w/sub/rel")), ("/w/sub\n".into(), "1".into()));
    let triggered = said(&mut world, &[("t", "on")], "FROM all");
    assert_eq!(
        triggered,
        "Step 1/1 : FROM all\n# Executing 1 build trigger\n ---> I\n«{\"aux\":{\"ID\":\"sha256:I\"}}»\n\
         Successfully built I\nSuccessfully tagged on:latest\n"
    );
    assert_eq!(content(&image(&world, "on"), "/app/a"), "1");
}

#[test]
fn stages_hand_files_on() {
    let mut world = world(&[]);
    let file = "ARG BASE=busybox\nFROM $BASE AS One\nRUN echo 1 > /one\nFROM scratch\nCOPY --from=one /one /\n\
                COPY --from=0 /one /two\nCOPY --from=busybox /etc/passwd /p\nCOPY --chown=5:6 a /a";
    let text = said(&mut world, &[("t", "ms:1"), ("t", "ms:2")], file);
    assert!(text.starts_with("Step 1/8 : ARG BASE=busybox\nStep 2/8 : FROM $BASE AS One\n ---> I\n"), "{text}");
    assert!(text.contains("Step 4/8 : FROM scratch\n ---> \nStep 5/8"), "{text}");
    assert!(text.ends_with("Successfully tagged ms:1\nSuccessfully tagged ms:2\n"), "{text}");
    let built = image(&world, "ms:2");
    assert_eq!((content(&built, "/one"), content(&built, "/two")), ("1\n".into(), "1\n".into()));
    let meta = built.tree.get(&names("/a")).unwrap().meta;
    assert_eq!((meta.uid, meta.gid), (5, 6));
    assert_eq!(built.layers.len(), 4);
    let first = said(&mut world, &[("target", "ONE"), ("t", "first")], file);
    assert!(first.contains("Step 3/3 : RUN") && !first.contains("scratch"), "{first}");
}

#[test]
fn what_goes_wrong_is_said_in_dockerd_s_words() {
    let mut world = world(&[]);
    world.offline = true;
    for (file, message) in [
        ("COPY nosuch /x", "COPY failed: file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist"),
        ("COPY a b /x", "When using COPY with more than one source file, the destination must be a directory and end with a /"),
        ("COPY --from=5 a /x", "invalid from flag value 5: index out of bounds"),
        ("COPY --from=0 a /x", "invalid from flag value 0: refers to current build stage"),
        ("COPY --from=nosuch a /x", "invalid from flag value nosuch: Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.2.3:53: no such host"),
        ("COPY --from=busybox nosuch /x", "COPY failed: stat nosuch: file does not exist"),
        ("COPY --chmod=755 a /x", "the --chmod option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled"),
        ("RUN --mount=type=bind x", "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled"),
        ("ADD http://127.0.0.1:9/y /x", "ADD failed: Get \"http://127.0.0.1:9/y\": dial tcp 127.0.0.1:9: connect: connection refused"),
        ("EXPOSE 80/xyz", "Invalid proto: xyz"),
        ("EXPOSE 99999", "Invalid containerPort: 99999"),
        ("STOPSIGNAL XX", "Invalid signal: XX"),
        ("ENV A=${B:?oops}", "failed to process \"${B:?oops}\": B: oops"),
        ("RUN [\"nosuchcmd\"]", "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nosuchcmd\": executable file not found in $PATH: unknown"),
        ("FROM ${X}", "base name (${X}) should not be blank"),
        ("FROM A/B", "invalid reference format: repository name must be lowercase"),
        ("FROM --platform=a/b/c/d x", "failed to parse platform a/b/c/d: \"a/b/c/d\": cannot parse platform specifier: invalid argument"),
    ] {
        let text = said(&mut world, &[], &format!("FROM busybox\n{file}\n"));
        let quoted = Value::from(message).to_string();
        let line = format!("«{{\"error\":{quoted},\"errorDetail\":{{\"message\":{quoted}}}}}»\n");
        assert!(text.ends_with(&line), "{file}:\n{text}");
    }
    let text = said(&mut world, &[], "FROM busybox AS a\nFROM busybox AS A");
    assert!(text.contains("\"a stage name already used\""), "{text}");
    let text = said(&mut world, &[], "FROM scratch");
    assert!(text.contains("No image was generated. Is your Dockerfile empty?"), "{text}");
}

#[test]
fn a_command_that_fails_leaves_its_container() {
    let mut world = world(&[]);
    let words = "The command '/bin/sh -c exit 44' returned a non-zero code: 44";
    let line = format!(
        "«{{\"error\":\"{words}\",\"errorDetail\":{{\"code\":44,\"message\":\"{words}\"}}}}»\n"
    );
    let begin = "Step 1/2 : FROM busybox\n ---> I\nStep 2/2 : RUN exit 44\n ---> Running in I\n";
    let file = "FROM busybox\nRUN exit 44\n";
    assert_eq!(said(&mut world, &[("q", "1")], file), format!("{begin}{line}"));
    assert_eq!(world.containers.len(), 1);
    let forced = said(&mut world, &[("forcerm", "1")], file);
    assert_eq!(forced, format!("{begin}Removing intermediate container I\n{line}"));
    assert_eq!(world.containers.len(), 1);
    said(&mut world, &[("rm", "0")], "FROM busybox\nLABEL kept=1");
    assert_eq!(world.containers.len(), 2);
}

#[test]
fn what_is_refused_at_once_makes_nothing() {
    let mut world = world(&[]);
    let file = "FROM busybox\n";
    for (query, dockerfile, words) in [
        (("t", "A"), file, "System: invalid reference format: repository name must be lowercase"),
        (("squash", "1"), file, "InvalidParameter: squash is only supported with experimental mode"),
        (("remote", "junk"), file, "System: remoteURL (junk) could not be recognized as URL"),
        (
            ("remote", "http://127.0.0.1:9/x"),
            file,
            "System: error downloading remote context http://127.0.0.1:9/x: Get \"http://127.0.0.1:9/x\": dial tcp 127.0.0.1:9: connect: connection refused",
        ),
        (
            ("buildargs", "x"),
            file,
            "InvalidParameter: error reading build args: invalid character 'x' looking for beginning of value",
        ),
        (("target", "zz"), file, "InvalidParameter: failed to reach build target zz in Dockerfile"),
        (("version", "3"), file, "System: invalid version \"3\""),
        (("", ""), "", "InvalidParameter: the Dockerfile (Dockerfile) cannot be empty"),
        (("", ""), "# c\n", "InvalidParameter: failed to parse Dockerfile: file with no instructions"),
        (("", ""), "RUN x\n", "InvalidParameter: no build stage in current context"),
        (("", ""), "ARG x\n", "InvalidParameter: no build stage in current context"),
        (
            ("", ""),
            "FROM busybox\nJUNK x\n",
            "InvalidParameter: dockerfile parse error line 2: unknown instruction: JUNK",
        ),
        (
            ("", ""),
            "FROM busybox\nJUNK x\nENV A\n",
            "InvalidParameter: failed to parse Dockerfile: ENV must have two arguments",
        ),
    ] {
        let query = if query.0.is_empty() { Vec::new() } else { Vec::from([query]) };
        assert_eq!(said(&mut world, &query, dockerfile), words);
    }
    let many = format!("FROM busybox\n{}", "LABEL a=b\n".repeat(2000));
    assert!(said(&mut world, &[], &many).contains("2001 steps, and the simulator builds 1000 at most"));
    assert_eq!((world.images.len(), world.containers.len()), (1, 0));
}

#[test]
fn who_goes_away_leaves_nothing_running() {
    let mut world = world(&[]);
    let options = Options::of(&Job::new("build"), LEGACY).unwrap();
    let archive = tar(&[("Dockerfile", "FROM busybox\nRUN sleep 100\n")]);
    let mut build = Build::new(options, &archive).unwrap();
    while build.serial().is_none() {
        build.advance(&mut world);
    }
    let serial = build.serial().unwrap();
    build.cancel(&mut world);
    while world.step(serial) {}
    world.reap(serial);
    assert_eq!(world.containers.len(), 0);
}

#[test]
fn a_base_that_is_not_there_is_pulled() {
    let mut world = world(&[]);
    let text = said(&mut world, &[("t", "p")], "FROM alpine:3.19\nLABEL a=b");
    assert!(text.contains("Status: Downloaded newer image for alpine:3.19"), "{text}");
    assert!(image(&world, "p").parent.is_some() && world.images.find("alpine:3.19").is_some());
}

#[test]
fn events_tell_of_the_containers_and_the_names() {
    let mut world = world(&[]);
    said(&mut world, &[("t", "x")], "FROM busybox\nRUN true\nLABEL a=b");
    let all = world.bus.fresh.iter().map(|message| format!("{} {}", message.kind, message.action));
    assert_eq!(
        all.collect::<Vec<_>>(),
        [
            "container create",
            "container attach",
            "network connect",
            "container start",
            "container die",
            "network disconnect",
            "container destroy",
            "container create",
            "container destroy",
            "image tag",
        ]
    );
}
