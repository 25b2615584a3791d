//! How each instruction is done.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::context::Context;
use super::dockerfile::Line;
use super::expand::{expand, expand_words};
use super::image::{Made, cached, child, scratch};
use super::instruction::{Command, Copy, From, Instruction};
use super::text::{duration, quoted_list, quoted_number};
use super::{Build, Running, Stage, Todo, Trouble, copy, options};
use crate::backend::simulator::config::{Config, Empty, Healthcheck};
use crate::backend::simulator::container::Serial;
use crate::backend::simulator::create::NewContainer;
use crate::backend::simulator::files::Tree;
use crate::backend::simulator::images::Image;
use crate::backend::simulator::networks::parse_port;
use crate::backend::simulator::process::Signal;
use crate::backend::simulator::reference::Reference;
use crate::backend::simulator::world::World;

/// Where programs are looked for unless the image says so.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BUILDKIT: &str = "option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with \
     BuildKit enabled";

impl Stage {
    fn new(image: Option<Arc<Image>>) -> Self {
        let mut config = image.as_ref().map(|image| (*image.config).clone()).unwrap_or_default();
        (config.open_stdin, config.stdin_once) = (false, false);
        let env = config.env.get_or_insert_default();
        if !env.iter().any(|pair| pair.starts_with("PATH=")) {
            env.push(PATH.into());
        }
        Self { image, config, author: String::new(), has_command: false, cache_missed: false }
    }

    fn id(&self) -> Option<&str> {
        self.image.as_ref().map(|image| &*image.id)
    }

    fn tree(&self) -> Tree {
        self.image.as_ref().map_or_else(Tree::new, |image| image.tree.clone())
    }

    fn shell(&self) -> Vec<String> {
        let default = || ["/bin/sh", "-c"].map(String::from).into();
        self.config.shell.clone().unwrap_or_else(default)
    }

    fn words(&self, command: Command) -> Vec<String> {
        match command.for_shell {
            true => [self.shell(), command.words].concat(),
            false => command.words,
        }
    }

    fn env(&self) -> &[String] {
        self.config.env.as_deref().unwrap_or_default()
    }
}

fn set(env: &mut Vec<String>, key: &str, pair: String) {
    match env.iter_mut().find(|old| old.split('=').next() == Some(key)) {
        Some(old) => *old = pair,
        None => env.push(pair),
    }
}

fn health(check: &Healthcheck) -> String {
    let times = [check.interval, check.timeout, check.start_period];
    let [interval, timeout, start] = times.map(|nanos| format!("\"{}\"", duration(nanos)));
    let test = quoted_list(check.test.as_deref().unwrap_or_default());
    format!("HEALTHCHECK &{{{test} {interval} {timeout} {start} {}}}", quoted_number(check.retries))
}

impl Build {
    pub(super) fn begin_stage(
        &mut self,
        world: &mut World,
        line: &Line,
        from: &From,
    ) -> Result<(), Trouble> {
        let name = from.name.as_deref();
        if let Some(name) = name
            && self.stages.iter().any(|(known, _)| known.as_deref() == Some(name))
        {
            return Err(format!("{name} stage name already used").into());
        }
        self.say_step(&line.text);
        options::check_platform(&from.platform)
            .map_err(|words| format!("failed to parse platform {}: {words}", from.platform))?;
        let base = expand(&from.base, &self.args.before_stages(), self.escape)?;
        if base.is_empty() {
            return Err(format!("base name ({}) should not be blank", from.base).into());
        }
        let lower = base.to_lowercase();
        let stage = self.stages.iter().find(|(name, _)| name.as_deref() == Some(&*lower));
        let image = match stage {
            Some((_, image)) => image.clone(),
            None if base == "scratch" => None,
            None => Some(self.base(world, &base)?),
        };
        let mut stage = Stage::new(image);
        let triggers = stage.config.on_build.take().unwrap_or_default();
        self.stage = Some(stage);
        if !triggers.is_empty() {
            let (count, s) = (triggers.len(), if triggers.len() == 1 { "" } else { "s" });
            self.output.stdout(&format!("# Executing {count} build trigger{s}"));
            self.output.stdout("\n");
            for trigger in triggers.into_iter().rev() {
                self.todo.push_front(Todo::Trigger(trigger));
            }
        }
        Ok(())
    }

    /// An image that a Dockerfile names; it is pulled if it is not there.
    fn base(&mut self, world: &mut World, name: &str) -> Result<Arc<Image>, Trouble> {
        if !self.options.pull
            && let Some(image) = world.images.find(name)
        {
            return Ok(Arc::clone(image));
        }
        let reference = Reference::parse(name).map_err(ToString::to_string)?;
        let script = world.pull_script(&reference)?;
        for line in script.lines {
            self.output.raw(line);
        }
        let Some(then) = script.then else { return Err(format!("No such image: {name}").into()) };
        let image = Arc::clone(&then.1);
        world.end_script(then);
        Ok(image)
    }

    /// Does one instruction, but for the end of a command that it starts.
    pub(super) fn dispatch(
        &mut self,
        world: &mut World,
        instruction: Instruction,
    ) -> Result<(), Trouble> {
        let Some(stage) = &mut self.stage else {
            return Err("no build stage in current context".to_owned().into());
        };
        stage.config.image = stage.id().unwrap_or_default().into();
        let mut env = stage.env().to_vec();
        env.extend(self.args.env(&env));
        let escape = self.escape;
        let word = |text: &str| expand(text, &env, escape);
        let all =
            |words: &[String]| words.iter().map(|text| word(text)).collect::<Result<Vec<_>, _>>();
        let each = |pairs: Vec<(String, String)>| -> Result<Vec<_>, String> {
            pairs.into_iter().map(|(key, value)| Ok((word(&key)?, word(&value)?))).collect()
        };
        let config = &mut stage.config;
        match instruction {
            Instruction::Env(pairs) => {
                let mut comment = String::from("ENV");
                for (key, value) in each(pairs)? {
                    let pair = format!("{key}={value}");
                    comment.push_str(&format!(" {pair}"));
                    set(config.env.get_or_insert_default(), &key, pair);
                }
                self.commit(world, &comment)
            }
            Instruction::Label { pairs, expand } => {
                let mut comment = String::from("LABEL");
                for (key, value) in if expand { each(pairs)? } else { pairs } {
                    comment.push_str(&format!(" {key}={value}"));
                    config.labels.get_or_insert_default().insert(key, value);
                }
                self.commit(world, &comment)
            }
            Instruction::Maintainer(name) => {
                stage.author.clone_from(&name);
                self.commit(world, &format!("MAINTAINER {name}"))
            }
            Instruction::Cmd(command) => {
                stage.has_command |= !command.words.is_empty();
                let words = stage.words(command);
                let comment = format!("CMD {}", quoted_list(&words));
                stage.config.cmd = Some(words);
                self.commit(world, &comment)
            }
            Instruction::Entrypoint(command) => {
                let words = stage.words(command);
                let comment = format!("ENTRYPOINT {}", quoted_list(&words));
                stage.config.entrypoint = Some(words);
                if !stage.has_command {
                    stage.config.cmd = None;
                }
                self.commit(world, &comment)
            }
            Instruction::OnBuild(trigger) => {
                let comment = format!("ONBUILD {trigger}");
                config.on_build.get_or_insert_default().push(trigger);
                self.commit(world, &comment)
            }
            Instruction::User(user) => {
                config.user = word(&user)?;
                let comment = format!("USER {}", config.user);
                self.commit(world, &comment)
            }
            Instruction::Volume(paths) => {
                let paths = all(&paths)?;
                if paths.iter().any(String::is_empty) {
                    let words = "VOLUME specified can not be an empty string";
                    return Err(words.to_owned().into());
                }
                let comment = format!("VOLUME [{}]", paths.join(" "));
                let volumes = config.volumes.get_or_insert_default();
                volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
                self.commit(world, &comment)
            }
            Instruction::Expose(ports) => {
                let mut shown = Vec::new();
                for port in &ports {
                    shown.extend(expand_words(port, &env, escape)?);
                }
                let comment = format!("EXPOSE {}", shown.join(" "));
                for port in shown {
                    for port in port_range(&port)? {
                        config.exposed_ports.get_or_insert_default().insert(port, Empty {});
                    }
                }
                self.commit(world, &comment)
            }
            Instruction::StopSignal(signal) => {
                let signal = word(&signal)?;
                if Signal::parse(&signal).is_none() {
                    return Err(format!("Invalid signal: {signal}").into());
                }
                let comment = format!("STOPSIGNAL {signal}");
                config.stop_signal = signal;
                self.commit(world, &comment)
            }
            Instruction::Arg(pairs) => {
                let mut comment = String::from("ARG");
                let mut declared = Vec::new();
                for (key, value) in pairs {
                    let (key, value) = (word(&key)?, value.as_deref().map(word).transpose()?);
                    comment.push_str(&format!(" {key}"));
                    if let Some(value) = &value {
                        comment.push_str(&format!("={value}"));
                    }
                    declared.push((key, value));
                }
                for (key, value) in declared {
                    self.args.declare(&key, value.as_deref(), false);
                }
                self.commit(world, &comment)
            }
            Instruction::Healthcheck(check) => {
                let old = config.healthcheck.as_ref().and_then(|check| check.test.as_deref());
                if let Some(old) = old.filter(|old| old.first().is_some_and(|word| word != "NONE"))
                {
                    let old = old.join(" ");
                    self.output
                        .stdout(&format!("Note: overriding previous HEALTHCHECK: [{old}]\n"));
                }
                let comment = health(&check);
                config.healthcheck = Some(check);
                self.commit(world, &comment)
            }
            Instruction::Shell(words) => {
                let comment = format!("SHELL [{}]", words.join(" "));
                config.shell = Some(words);
                self.commit(world, &comment)
            }
            Instruction::Workdir(path) => {
                let path = word(&path)?;
                config.working_dir = match copy::destination(&config.working_dir, &path) {
                    path if path.len() > 1 => path.trim_end_matches('/').to_owned(),
                    path => path,
                };
                self.make_working_dir(world)
            }
            Instruction::Copy(asked) => {
                let (sources, dest) = (all(&asked.sources)?, word(&asked.dest)?);
                let chown = word(&asked.chown)?;
                self.copy(world, &Copy { sources, dest, chown, ..asked })
            }
            Instruction::Run { flag: Some(flag), .. } => {
                Err(format!("the --{flag} {BUILDKIT}").into())
            }
            Instruction::Run { command, .. } => self.run(world, command),
            Instruction::From(_) => {
                Err("FROM isn't allowed as an ONBUILD trigger".to_owned().into())
            }
        }
    }

    /// Makes an image of what an instruction has changed in the configuration.
    fn commit(&mut self, world: &mut World, comment: &str) -> Result<(), Trouble> {
        self.commit_as(world, &["#(nop) ", comment], |_, _| Ok(()))
    }

    fn commit_as(
        &mut self,
        world: &mut World,
        comment: &[&str],
        change: impl FnOnce(&mut Tree, &Config) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        let Some(stage) = &self.stage else { return Ok(()) };
        let mut config = stage.config.clone();
        config.cmd = Some(comment_words(stage, comment));
        if self.is_cached(world, &config) {
            self.remove_made(world);
            return Ok(());
        }
        let serial = self.create(world, config)?;
        let Some(stage) = &mut self.stage else { return Ok(()) };
        let mut tree = stage.tree();
        change(&mut tree, &stage.config)?;
        if let Some(container) = world.containers.get(serial) {
            let (config, id) = ((*container.config).clone(), container.id.to_string());
            // What the base says of it is merged into the instruction's own.
            stage.config.healthcheck.clone_from(&config.healthcheck);
            self.add_image(world, tree, config, id);
        }
        self.end_step(world);
        Ok(())
    }

    fn make_working_dir(&mut self, world: &mut World) -> Result<(), Trouble> {
        let Some(stage) = &self.stage else { return Ok(()) };
        let (comment, now) =
            (format!("#(nop) WORKDIR {}", stage.config.working_dir), seconds(world));
        self.commit_as(world, &[&comment], |tree, config| {
            let path = &config.working_dir;
            copy::make_folder(tree, path, now)
                .map_err(|_| format!("Cannot mkdir: {path} is not a directory"))
        })
    }

    fn copy(&mut self, world: &mut World, asked: &Copy) -> Result<(), Trouble> {
        let word = if asked.add { "ADD" } else { "COPY" };
        if !asked.chmod.is_empty() {
            return Err(format!("the --chmod {BUILDKIT}").into());
        }
        let other = match &*asked.from {
            "" => None,
            from => Some(self.other(world, from).map_err(|trouble| {
                format!("invalid from flag value {from}: {}", trouble.message)
            })?),
        };
        let Context { tree, marks } = &self.context;
        let origin = match &other {
            Some(tree) => copy::Origin { tree, marks: None },
            None => copy::Origin { tree, marks: Some(marks) },
        };
        let sources = copy::find(&origin, &asked.sources, asked.add)?;
        if sources.len() > 1 && !asked.dest.ends_with('/') {
            return Err(format!(
                "When using {word} with more than one source file, the destination must be a directory and end with a /"
            )
            .into());
        }
        let chown = match &*asked.chown {
            "" => String::new(),
            chown => format!("--chown={chown}"),
        };
        let hash = copy::hash(&sources);
        let comment = format!("#(nop) {word} {chown}{hash} in {} ", asked.dest);
        let Some(stage) = &self.stage else { return Ok(()) };
        let mut config = stage.config.clone();
        config.cmd = Some(comment_words(stage, &[&comment]));
        if self.is_cached(world, &config) {
            return Ok(());
        }
        let Some(stage) = &self.stage else { return Ok(()) };
        let mut tree = stage.tree();
        let owner = match &*asked.chown {
            "" if other.is_some() => None,
            "" => Some((0, 0)),
            chown => Some(copy::owner(&tree, chown)?),
        };
        let dest = copy::destination(&stage.config.working_dir, &asked.dest);
        let how = copy::Laying { dest: &dest, owner, unpack: asked.add, now: seconds(world) };
        copy::lay(&mut tree, &sources, &how)?;
        self.add_image(world, tree, config, String::new());
        Ok(())
    }

    /// The files of another stage, by its name or its number, or of an image.
    fn other(&mut self, world: &mut World, from: &str) -> Result<Tree, Trouble> {
        let lower = from.to_lowercase();
        let tree = |image: &Option<Arc<Image>>| {
            image.as_ref().map_or_else(Tree::new, |image| image.tree.clone())
        };
        let named = self.stages.iter().find(|(name, _)| name.as_deref() == Some(&*lower));
        if let Some((_, image)) = named {
            return Ok(tree(image));
        }
        match from.parse::<i64>().map(usize::try_from) {
            Err(_) => Ok(self.base(world, from)?.tree.clone()),
            Ok(Ok(nth)) if nth == self.stages.len() => {
                Err("refers to current build stage".to_owned().into())
            }
            Ok(nth) => match nth.ok().and_then(|nth| self.stages.get(nth)) {
                Some((_, image)) => Ok(tree(image)),
                None => Err("index out of bounds".to_owned().into()),
            },
        }
    }

    fn run(&mut self, world: &mut World, command: Command) -> Result<(), Trouble> {
        let Some(stage) = &self.stage else { return Ok(()) };
        let words = stage.words(command);
        let given = self.args.env(stage.env());
        let mut kept = stage.config.clone();
        kept.cmd = Some(self.args.before(&given, &words));
        kept.entrypoint = None;
        if self.is_cached(world, &kept) {
            return Ok(());
        }
        let Some(stage) = &self.stage else { return Ok(()) };
        let mut config = stage.config.clone();
        config.cmd = Some(words.clone());
        config.env.get_or_insert_default().extend(given);
        // One empty word takes the image's entrypoint away.
        config.entrypoint = Some([String::new()].into());
        let none = Some(["NONE".to_owned()].into());
        config.healthcheck = Some(Healthcheck { test: none, ..Healthcheck::default() });
        let serial = self.create(world, config)?;
        world.emit_of("attach", serial, &[]);
        world.start(serial)?;
        self.running = Some(Running { serial, config: kept, words });
        Ok(())
    }

    /// A command has ended.
    pub(super) fn ran(
        &mut self,
        world: &mut World,
        running: Running,
        code: i32,
    ) -> Result<(), Trouble> {
        let container = world.containers.get(running.serial);
        let (Some(container), 0) = (container, code) else {
            let words = running.words.join(" ");
            let message = format!("The command '{words}' returned a non-zero code: {code}");
            return Err(Trouble { message, code: Some(code) });
        };
        let id = container.id.to_string();
        let tree = world.taken_tree(container);
        let Some(stage) = &self.stage else { return Ok(()) };
        let tree = tree.unwrap_or_else(|| stage.tree());
        self.add_image(world, tree, running.config, id);
        self.end_step(world);
        Ok(())
    }

    /// Whether the cache has the image that comes next, which is taken then.
    fn is_cached(&mut self, world: &World, config: &Config) -> bool {
        let Some(stage) = &mut self.stage else { return false };
        if self.options.no_cache || stage.cache_missed {
            return false;
        }
        let sources = &self.options.cache_from;
        let allowed = |image: &Image| {
            let made_of = |source: &Arc<Image>| world.is_made_of(&source.id, &image.id);
            let mut sources = sources.iter().filter_map(|name| world.images.find(name));
            self.options.cache_from.is_empty() || sources.any(made_of)
        };
        match cached(&world.images, stage.id(), config).filter(|image| allowed(image)) {
            Some(image) => {
                stage.image = Some(image);
                self.output.stdout(" ---> Using cache\n");
                true
            }
            None => {
                stage.cache_missed = true;
                false
            }
        }
    }

    fn create(&mut self, world: &mut World, config: Config) -> Result<Serial, Trouble> {
        let image = self.stage.as_ref().and_then(|stage| stage.image.clone());
        let image = image.unwrap_or_else(|| Arc::new(scratch()));
        let host = self.options.host.clone();
        let new = NewContainer { config, host, endpoints: BTreeMap::new() };
        let (serial, _) = world.create_from(&image, None, new, self.options.dialect)?;
        self.made.push(serial);
        let id = world.containers.get(serial).map_or("", |container| container.short_id());
        self.output.stdout(&format!(" ---> Running in {id}\n"));
        Ok(serial)
    }

    fn add_image(&mut self, world: &mut World, tree: Tree, container_config: Config, id: String) {
        let Some(stage) = &mut self.stage else { return };
        let image = child(
            stage.image.as_deref(),
            Made {
                tree,
                config: stage.config.clone(),
                container_config,
                container: id,
                author: stage.author.clone(),
                created: world.now,
            },
        );
        world.images.insert(image.clone());
        stage.image = Some(Arc::new(image));
    }

    fn end_step(&mut self, world: &mut World) {
        if self.options.remove {
            self.remove_made(world);
        } else {
            self.made.clear();
        }
    }

    /// Removes the containers of this instruction.
    pub(super) fn remove_made(&mut self, world: &mut World) {
        for serial in core::mem::take(&mut self.made) {
            let Some(container) = world.containers.get(serial) else { continue };
            let id = container.short_id().to_owned();
            world.drop_container(serial, true);
            self.output.stdout(&format!("Removing intermediate container {id}\n"));
        }
    }
}

/// The command of a container that runs nothing.
fn comment_words(stage: &Stage, comment: &[&str]) -> Vec<String> {
    let comment: Vec<String> = comment.iter().map(ToString::to_string).collect();
    [stage.shell(), comment].concat()
}

fn seconds(world: &World) -> i64 {
    i64::try_from(world.now.as_secs()).unwrap_or(i64::MAX)
}

/// `80`, `80/udp`, `8000-8001/tcp` as `80/tcp` and so on.
fn port_range(text: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let refused = || format!("Invalid containerPort: {ports}");
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) =
        (first.parse().map_err(|_| refused())?, last.parse().map_err(|_| refused())?);
    if first > last {
        return Err(refused());
    }
    let (_, protocol) = parse_port(&format!("{first}/{}", protocol.to_lowercase()))
        .map_err(|_| format!("Invalid proto: {protocol}"))?;
    Ok((first..=last).map(|port| format!("{port}/{}", protocol.name())).collect())
}
