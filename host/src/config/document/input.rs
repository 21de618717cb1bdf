//! The text as the parser reads it: a tab after a key's colon separates as a blank does.
//!
//! YAML 1.2.2 (section 6.2) allows tabs wherever white space only separates. The parser wants a blank as well between a
//! colon and a value that begins with a letter or a digit, and learns whether there was one from
//! [`Input::skip_ws_to_eol`], which is the only thing that differs here. Tabs in the indentation remain errors.

use saphyr_parser::input::SkipTabs;
use saphyr_parser::{Input, StrInput};

/// A text whose tabs separate.
pub(super) struct Text<'a>(StrInput<'a>);

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(StrInput::new(text))
    }
}

impl Input for Text<'_> {
    fn skip_ws_to_eol(&mut self, skip_tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>) {
        let (count, skipped) = self.0.skip_ws_to_eol(skip_tabs);
        let separated = |skipped: SkipTabs| match skipped {
            SkipTabs::Result(tabs, blanks) => SkipTabs::Result(tabs, blanks || tabs),
            other => other,
        };
        (count, skipped.map(separated))
    }

    fn lookahead(&mut self, count: usize) {
        self.0.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.0.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.0.bufmaxlen()
    }

    fn raw_read_ch(&mut self) -> char {
        self.0.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.0.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.0.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.0.skip_n(count);
    }

    fn peek(&self) -> char {
        self.0.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.0.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.0.peek_opt()
    }
}
