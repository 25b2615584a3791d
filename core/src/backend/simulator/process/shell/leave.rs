//! How a shell leaves what is under way: `break`, `return`, `exit`, and an interrupt at the prompt.

use super::Shell;
use super::frame::{Frame, TextKind};
use super::input::Input;
use crate::backend::simulator::process::Sys;

impl Shell {
    /// Gives up all that is under way, but for reading commands.
    pub(super) fn prompt_again(&mut self, sys: &mut Sys<'_, '_>) {
        while let Some(frame) = self.frames.pop() {
            if let Frame::Input(_) = frame {
                return self.frames.push(Frame::Input(Input::default()));
            }
            self.leave(sys, frame);
        }
    }

    /// Gives up all that is under way, to end with this status.
    pub(super) fn exit(&mut self, sys: &mut Sys<'_, '_>, code: u8) {
        while let Some(frame) = self.frames.pop() {
            self.leave(sys, frame);
        }
        self.status = code;
        self.exiting = Some(code);
    }

    /// `break` (or `continue`) out of so many loops.
    pub(super) fn leave_loops(&mut self, sys: &mut Sys<'_, '_>, mut count: usize, go_on: bool) {
        let is_loop = |frame: &Frame| matches!(frame, Frame::Loop { .. } | Frame::For { .. });
        let inner =
            self.frames.iter().rev().take_while(|frame| !matches!(frame, Frame::Function { .. }));
        count = count.min(inner.filter(|frame| is_loop(frame)).count());
        while count > 0 {
            let Some(frame) = self.frames.pop() else { return };
            if is_loop(&frame) {
                count -= 1;
                if count == 0 && go_on {
                    self.frames.push(match frame {
                        Frame::Loop { command, status, tested, .. } => {
                            Frame::Loop { command, in_body: true, status, tested }
                        }
                        frame => frame,
                    });
                }
            } else {
                self.leave(sys, frame);
            }
        }
        self.status = 0;
    }

    /// `return`.
    pub(super) fn leave_function(&mut self, sys: &mut Sys<'_, '_>, code: u8) {
        self.status = code;
        let ends = |frame: &Frame| {
            matches!(frame, Frame::Function { .. } | Frame::Text { kind: TextKind::Dot { .. }, .. })
        };
        if !self.frames.iter().any(ends) {
            return self.exit(sys, code);
        }
        while let Some(frame) = self.frames.pop() {
            let last = ends(&frame);
            self.leave(sys, frame);
            if last {
                return;
            }
        }
    }

    /// Undoes what a frame has changed.
    pub(super) fn leave(&mut self, sys: &mut Sys<'_, '_>, frame: Frame) {
        match frame {
            Frame::Restore { fds } => self.restore(sys, &fds),
            Frame::Function { positional, locals } => {
                self.calls -= 1;
                self.positional = positional;
                for (name, var) in locals.into_iter().rev() {
                    self.vars.restore(&name, var);
                }
            }
            Frame::Assigned { vars } => {
                for (name, var) in vars.into_iter().rev() {
                    self.vars.restore(&name, var);
                }
            }
            Frame::Capture { fd, .. } => sys.close(fd),
            Frame::Text { kind: TextKind::Dot { in_file }, .. } => self.in_file = in_file,
            _ => {}
        }
    }
}
