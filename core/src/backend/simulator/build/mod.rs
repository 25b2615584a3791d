//! `POST /build`: the classic builder of dockerd 20.10.
//!
//! `context` finds the Dockerfile in what the client sent, `dockerfile` its lines, `instruction` what they mean. A [`Build`]
//! does them one after the other: `steps` says how each is done, `image` makes the images, `copy` lays files. What is run,
//! is run by simulated processes, so that a build waits for them as its client does.
//!
//! Not simulated: BuildKit, contexts and files from a URL, archives compressed otherwise than by gzip, limits of memory and
//! processors for what is run. `cachefrom` is read, and the cache is all images that there are.

mod args;
mod context;
mod copy;
mod dockerfile;
mod expand;
mod image;
mod instruction;
mod options;
mod output;
mod steps;
#[cfg(test)]
mod tests;
mod text;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::args::Args;
use self::dockerfile::{Dockerfile, Line};
use self::instruction::{From, Instruction, Problem};
pub(super) use self::options::Options;
use self::output::Output;
use super::config::Config;
use super::container::Serial;
use super::failures::invalid;
use super::images::Image;
use super::world::World;
use crate::job::{Failure, Stream};

/// Instructions of a Dockerfile, each of which may make an image.
const MAX_STEPS: usize = 1_000;

/// A build that is under way.
pub(super) struct Build {
    options: Options,
    context: context::Context,
    escape: char,
    args: Args,
    todo: VecDeque<Todo>,
    /// The step that comes next, and how many there are.
    step: (usize, usize),
    stage: Option<Stage>,
    /// The names and results of the stages before.
    stages: Vec<(Option<String>, Option<Arc<Image>>)>,
    /// The containers that this instruction has made.
    made: Vec<Serial>,
    running: Option<Running>,
    done: bool,
    pub(super) output: Output,
}

/// What is left to do.
enum Todo {
    /// `ARG` before the first stage.
    Meta(Line, Vec<(String, Option<String>)>),
    From(Line, From),
    /// What a base has left to the images that are built of it.
    Trigger(String),
    /// Tells the id of the image as it is now.
    Show,
    Step(Instruction, String),
    EndStage(Option<String>),
}

/// The image that is being built.
struct Stage {
    /// `None` as long as there is none: `FROM scratch`.
    image: Option<Arc<Image>>,
    config: Config,
    author: String,
    /// The Dockerfile has said what to run.
    has_command: bool,
    /// The cache has missed once, and what follows is made anew.
    cache_missed: bool,
}

/// A command of `RUN`.
struct Running {
    serial: Serial,
    /// What the image will say of it.
    config: Config,
    words: Vec<String>,
}

/// Why a build ends before its time.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Trouble {
    message: String,
    /// What a command has exited with.
    code: Option<i32>,
}

impl core::convert::From<String> for Trouble {
    fn from(message: String) -> Self {
        Self { message, code: None }
    }
}

impl core::convert::From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        failure.message.into_owned().into()
    }
}

/// How far a build has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// There is more to do at once.
    More,
    /// A container runs; its end is to be told with [`Build::ended`].
    Waits(Serial),
    Done,
}

impl Build {
    /// Reads the query and what the client has sent.
    ///
    /// # Errors
    ///
    /// All that dockerd refuses before it begins with the first step.
    pub(super) fn new(options: Options, archive: &[u8]) -> Result<Self, Failure> {
        let (context, text) = context::read(archive, &options.dockerfile)?;
        let file = Dockerfile::parse(&text)
            .map_err(|words| invalid(format!("failed to parse Dockerfile: {words}")))?;
        let (todo, steps) = plan(&file, &options)?;
        let mut output = Output::new(options.quiet);
        if !file.warnings.is_empty() {
            output.stderr(&file.warnings);
        }
        Ok(Self {
            args: Args::new(options.args.clone()),
            options,
            context,
            escape: file.escape,
            todo,
            step: (1, steps),
            stage: None,
            stages: Vec::new(),
            made: Vec::new(),
            running: None,
            done: false,
            output,
        })
    }

    /// The container that it waits for.
    pub(super) fn serial(&self) -> Option<Serial> {
        self.running.as_ref().map(|running| running.serial)
    }

    /// Nothing is left to do but to tell the client.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// Does what comes next.
    pub(super) fn advance(&mut self, world: &mut World) -> Progress {
        if let Some(serial) = self.serial() {
            return Progress::Waits(serial);
        }
        let Some(todo) = self.todo.pop_front() else {
            let result = self.finish(world);
            return self.conclude(result);
        };
        match self.do_next(world, todo) {
            Ok(()) => self.serial().map_or(Progress::More, Progress::Waits),
            Err(trouble) => self.fail(world, trouble),
        }
    }

    /// What the command has written.
    pub(super) fn hear(&mut self, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match stream {
            Stream::Stdout => self.output.stdout(&text),
            Stream::Stderr => self.output.stderr(&text),
        }
    }

    /// The command has ended; its container may be gone already.
    pub(super) fn ended(&mut self, world: &mut World, code: i32) -> Progress {
        let Some(running) = self.running.take() else { return Progress::More };
        match self.ran(world, running, code) {
            Ok(()) => Progress::More,
            Err(trouble) => self.fail(world, trouble),
        }
    }

    /// Nobody waits for it any more: what it runs is killed, and what it has made for that removed.
    pub(super) fn cancel(&mut self, world: &mut World) {
        self.todo.clear();
        self.running = None;
        for serial in core::mem::take(&mut self.made) {
            let Some(id) = world.containers.get(serial).map(|container| Arc::clone(&container.id))
            else {
                continue;
            };
            let _ = world.remove(&id, true, true, self.options.dialect);
        }
    }

    fn do_next(&mut self, world: &mut World, todo: Todo) -> Result<(), Trouble> {
        match todo {
            Todo::Meta(line, pairs) => {
                self.say_step(&line.text);
                for (key, value) in pairs {
                    let env = self.args.env(&[]);
                    let word = |text: &str| expand::expand(text, &env, self.escape);
                    let (key, value) = (word(&key)?, value.as_deref().map(word).transpose()?);
                    self.args.declare(&key, value.as_deref(), true);
                }
                Ok(())
            }
            Todo::From(line, from) => self.begin_stage(world, &line, &from),
            Todo::Trigger(text) => {
                let instruction = Instruction::parse(&Line::parse(&text, 1), self.escape);
                let instruction = instruction.map_err(|problem| match problem {
                    Problem::Syntax(words) | Problem::Meaning(words) => words,
                })?;
                self.dispatch(world, instruction)
            }
            Todo::Show => {
                let stage = self.stage.as_ref().and_then(|stage| stage.image.as_ref());
                let line = format!(" ---> {}\n", stage.map_or("", |image| image.short_id()));
                self.output.stdout(&line);
                Ok(())
            }
            Todo::Step(instruction, text) => {
                self.say_step(&text);
                self.dispatch(world, instruction)
            }
            Todo::EndStage(name) => {
                let image = self.stage.take().and_then(|stage| stage.image);
                if let Some(image) = &image {
                    self.output.aux(&image.id);
                }
                self.args.next_stage();
                self.stages.push((name, image));
                Ok(())
            }
        }
    }

    fn say_step(&mut self, text: &str) {
        let (step, steps) = self.step;
        self.step.0 += 1;
        self.output.stdout(&format!("Step {step}/{steps} : {text}"));
        self.output.stdout("\n");
    }

    fn finish(&mut self, world: &mut World) -> Result<(), Trouble> {
        let unused = self.args.unused();
        if !unused.is_empty() {
            let unused = unused.join(" ");
            self.output.stdout(&format!(
                "[Warning] One or more build-args [{unused}] were not consumed\n"
            ));
        }
        let Some(image) = self.stages.pop().and_then(|(_, image)| image) else {
            return Err("No image was generated. Is your Dockerfile empty?".to_string().into());
        };
        self.output.stdout(&format!("Successfully built {}\n", image.short_id()));
        for name in &self.options.tags {
            world.images.tag(name, &image.id, world.now);
            world.emit("image", "tag", &image.id, &[("name", name)]);
            self.output.stdout(&format!("Successfully tagged {name}\n"));
        }
        self.output.result(&image.id);
        Ok(())
    }

    fn conclude(&mut self, result: Result<(), Trouble>) -> Progress {
        self.done = true;
        if let Err(trouble) = result {
            self.output.error(&trouble.message, trouble.code);
        }
        Progress::Done
    }

    fn fail(&mut self, world: &mut World, trouble: Trouble) -> Progress {
        self.todo.clear();
        if self.options.force_remove {
            self.remove_made(world);
        }
        self.conclude(Err(trouble))
    }
}

/// All that is to be done for a Dockerfile, and how many steps are counted.
fn plan(file: &Dockerfile, options: &Options) -> Result<(VecDeque<Todo>, usize), Failure> {
    let parsed: Vec<_> =
        file.lines.iter().map(|line| (line, Instruction::parse(line, file.escape))).collect();
    let mut instructions = Vec::new();
    for (_, instruction) in &parsed {
        if let Err(Problem::Syntax(words)) = instruction {
            return Err(invalid(format!("failed to parse Dockerfile: {words}")));
        }
    }
    for (line, instruction) in parsed {
        match instruction {
            Ok(instruction) => instructions.push((line, instruction)),
            Err(Problem::Syntax(words) | Problem::Meaning(words)) => {
                let number = line.number;
                return Err(invalid(format!("dockerfile parse error line {number}: {words}")));
            }
        }
    }
    let (mut todo, mut stages, mut found) = (VecDeque::new(), 0, options.target.is_empty());
    let mut steps = 0;
    let mut name: Option<Option<String>> = None;
    for (line, instruction) in instructions {
        match instruction {
            Instruction::From(from) => {
                if let Some(name) = name.take() {
                    todo.push_back(Todo::EndStage(name));
                }
                // The stage that was asked for is the last.
                if stages > 0 && found && !options.target.is_empty() {
                    break;
                }
                stages += 1;
                found |= from.name.as_deref() == Some(&*options.target.to_lowercase());
                name = Some(from.name.clone());
                todo.push_back(Todo::From(line.clone(), from));
                todo.push_back(Todo::Show);
            }
            Instruction::Arg(pairs) if stages == 0 => {
                todo.push_back(Todo::Meta(line.clone(), pairs));
            }
            _ if stages == 0 => return Err(invalid("no build stage in current context")),
            instruction => {
                todo.push_back(Todo::Step(instruction, line.text.clone()));
                todo.push_back(Todo::Show);
            }
        }
        steps += 1;
    }
    let Some(last) = name else {
        if stages == 0 {
            return Err(invalid("no build stage in current context"));
        }
        return check_steps(todo, steps, options);
    };
    if !found {
        let target = &options.target;
        return Err(invalid(format!("failed to reach build target {target} in Dockerfile")));
    }
    todo.push_back(Todo::EndStage(last));
    check_steps(todo, steps, options)
}

/// Puts the client's labels before the end of the last stage.
fn check_steps(
    mut todo: VecDeque<Todo>,
    mut steps: usize,
    options: &Options,
) -> Result<(VecDeque<Todo>, usize), Failure> {
    let end = todo.pop_back();
    for (key, value) in &options.labels {
        let pairs = [(key.clone(), value.clone())].into();
        let text = format!("LABEL {key}={value}");
        todo.push_back(Todo::Step(Instruction::Label { pairs, expand: false }, text));
        todo.push_back(Todo::Show);
        steps += 1;
    }
    todo.extend(end);
    if steps > MAX_STEPS {
        return Err(invalid(format!(
            "the Dockerfile has {steps} steps, and the simulator builds {MAX_STEPS} at most"
        )));
    }
    Ok((todo, steps))
}
