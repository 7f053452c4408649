//! A rule while its keywords are read.
//!
//! Contents gather in lists, one for each buffer, as they do in Suricata: relative keywords look back in their own list, and a
//! buffer that is selected again goes on with the list that it has, unless there may be several such buffers.

use std::{ops::Range, sync::Arc};

use super::{
    context::Context,
    mistake::{Done, Mistake},
};
use crate::{
    buffer::{Buffer, Way},
    codes,
    protocol::App,
    rule::{
        Arrow, Check, Class, Condition, Content, Detection, Effect, FlowKeyword, Header, PacketTest, Selected, Target,
        Threshold, Transform,
    },
    subject::Direction,
};

/// Most checks of one rule, and conditions beside them.
const MAX_CHECKS: usize = 2000;

/// A rule so far.
pub(crate) struct Draft<'a> {
    pub context: &'a Context<'a>,
    pub header: &'a Header,
    pub sid: Option<u32>,
    pub gid: Option<u32>,
    pub rev: Option<u32>,
    pub message: Option<Arc<str>>,
    pub class: Option<Class>,
    pub priority: Option<u8>,
    pub metadata: Vec<(Arc<str>, Arc<str>)>,
    pub references: Vec<(Arc<str>, Arc<str>)>,
    pub target: Option<Target>,
    pub noalert: bool,
    /// It has `prefilter`.
    pub prefilter: bool,
    pub flow: Option<FlowKeyword>,
    pub slots: Vec<Slot>,
    pub lists: Vec<List>,
    pub effects: Vec<Effect>,
    pub threshold: Option<Threshold>,
    pub detection: Option<Detection>,
    pub fast_pattern: Option<Fast>,
    /// Variables of `byte_extract` and `byte_math`, by index, with the list that they were defined in.
    pub variables: Vec<(Arc<str>, usize)>,
    pub sticky: Option<Sticky>,
    /// What must be spoken, by keywords.
    pub apps: Option<&'static [App]>,
    /// A direction that a keyword without a buffer implies.
    pub implied: Option<Way>,
    /// It asks for something that only a single packet has.
    pub packet_keyword: Option<&'static str>,
    /// The keyword that is not met here, with what it wants: the rule is for others.
    pub unmet: Option<String>,
    /// What is odd about it and no reason to leave it out.
    pub warnings: Vec<Mistake>,
    /// Which option of the rule is read now, from 0.
    pub setting: u16,
    order: u32,
}

/// A condition, or the place of one.
pub(crate) enum Slot {
    List(usize),
    /// With the option that says it.
    Condition(Condition, u16),
}

/// What is looked for in one buffer.
pub(crate) struct List {
    pub selected: Selected,
    /// See [`crate::rule::Inspect::toward`].
    pub toward: Option<Direction>,
    pub transforms: Vec<Transform>,
    pub items: Vec<Item>,
}

/// One thing that is looked for.
pub(crate) struct Item {
    pub check: Check,
    /// Ascending over all lists.
    pub order: u32,
    /// The option that says it, from 0.
    pub setting: u16,
    pub span: Range<usize>,
}

/// A sticky buffer that was selected.
pub(crate) struct Sticky {
    pub selected: Selected,
    /// See [`crate::rule::Inspect::toward`].
    pub toward: Option<Direction>,
    pub transforms: Vec<Transform>,
    /// Its list, once something is looked for in it.
    pub list: Option<usize>,
    pub span: Range<usize>,
    pub keyword: String,
}

/// What `fast_pattern` says, by the content's order.
pub(crate) struct Fast {
    pub order: u32,
    pub only: bool,
    pub chop: Option<(u16, u16)>,
}

impl<'a> Draft<'a> {
    pub fn new(context: &'a Context<'a>, header: &'a Header) -> Self {
        Self {
            context,
            header,
            sid: None,
            gid: None,
            rev: None,
            message: None,
            class: None,
            priority: None,
            metadata: Vec::new(),
            references: Vec::new(),
            target: None,
            noalert: false,
            prefilter: false,
            flow: None,
            slots: Vec::new(),
            lists: Vec::new(),
            effects: Vec::new(),
            threshold: None,
            detection: None,
            fast_pattern: None,
            variables: Vec::new(),
            sticky: None,
            apps: None,
            implied: None,
            packet_keyword: None,
            unmet: None,
            warnings: Vec::new(),
            setting: 0,
            order: 0,
        }
    }

    /// A condition that is in no list.
    pub fn condition(&mut self, condition: Condition) -> Done {
        if self.slots.len() >= MAX_CHECKS {
            return Err(Mistake::new(&codes::TOO_LONG, format!("the rule has more than {MAX_CHECKS} conditions")));
        }
        self.slots.push(Slot::Condition(condition, self.setting));
        Ok(())
    }

    /// A condition on a single packet.
    pub fn packet(&mut self, keyword: &'static str, test: PacketTest) -> Done {
        self.packet_keyword.get_or_insert(keyword);
        self.condition(Condition::Packet(test))
    }

    /// Selects a buffer, whose protocols and direction the rule has from then on.
    pub fn select(&mut self, selected: Selected, keyword: &str, span: Range<usize>) -> Done {
        self.close()?;
        if let Selected::Buffer(buffer) = &selected {
            self.speak(buffer.apps(), keyword)?;
        }
        let keyword = keyword.to_owned();
        self.sticky = Some(Sticky { selected, toward: None, transforms: Vec::new(), list: None, span, keyword });
        Ok(())
    }

    /// The end whose buffer was selected, in a rule about both directions of a transaction.
    pub fn toward(&mut self, toward: Direction) -> Done {
        let conflict = |message: &str| Err(Mistake::new(&codes::CONFLICT, message));
        let either = |selected: &Selected| matches!(selected, Selected::Buffer(buffer) if buffer.way() == Way::Both);
        match &mut self.sticky {
            _ if self.header.arrow != Arrow::Transaction => {
                conflict("the direction of a buffer is chosen in rules with `=>` alone")
            }
            Some(sticky) if either(&sticky.selected) => {
                sticky.toward = Some(toward);
                Ok(())
            }
            _ => conflict("the buffer has one direction"),
        }
    }

    /// Ends the sticky buffer: the payload is meant again.
    pub fn close(&mut self) -> Done {
        match self.sticky.take() {
            Some(Sticky { list: None, span, keyword, .. }) => {
                let message = format!("nothing is looked for in `{keyword}`");
                Err(Mistake::new(&codes::BUFFER, message).at(span).follows())
            }
            _ => Ok(()),
        }
    }

    /// A keyword that some protocols have.
    pub fn speak(&mut self, apps: &'static [App], keyword: &str) -> Done {
        // DNS over HTTP/2 is no reason to ask HTTP for names
        let named = apps.contains(&App::Dns);
        let alike = |app: App, other: App| spoken_alike(app, other) && !(named && app == App::Http);
        let all = |app: &App| apps.iter().any(|other| alike(*app, *other));
        let conflict = |others: &str| {
            let message = format!("`{keyword}` is of another protocol than {others}");
            Err(Mistake::new(&codes::BUFFER, message))
        };
        if let crate::rule::Protocol::App(app) = &self.header.protocol
            && !all(app)
        {
            return conflict(&format!("the rule's (`{}`)", app.name()));
        }
        match self.apps {
            Some(before) if !before.iter().any(all) => conflict("keywords before it"),
            // the narrower one counts
            Some(before) if before.len() <= apps.len() => Ok(()),
            _ => {
                self.apps = Some(apps);
                Ok(())
            }
        }
    }

    /// A thing to look for in the buffer that is selected.
    pub fn check(&mut self, check: Check, span: Range<usize>) -> Done {
        let list = self.list();
        self.check_in(list, check, span)
    }

    /// A thing to look for behind the last match: without a sticky buffer, wherever that was looked for.
    pub fn check_behind(&mut self, check: Check, span: Range<usize>) -> Done {
        let list = self.last_list().unwrap_or_else(|| self.list());
        self.check_in(list, check, span)
    }

    /// The list of what was read last, if no sticky buffer is selected.
    pub fn last_list(&self) -> Option<usize> {
        let last = |(at, list): (usize, &List)| list.items.last().map(|item| (item.order, at));
        let lists = self.lists.iter().enumerate().filter(|_| self.sticky.is_none());
        lists.filter_map(last).max().map(|(_, at)| at)
    }

    /// A thing to look for in a buffer that is named by the way (`urilen`, `/U` of `pcre`).
    pub fn check_of(&mut self, buffer: Buffer, keyword: &str, check: Check, span: Range<usize>) -> Done {
        if self.sticky.as_ref().is_some_and(|sticky| sticky.selected == Selected::Buffer(buffer)) {
            return self.check(check, span);
        }
        self.speak(buffer.apps(), keyword)?;
        let list = self.list_of(&Selected::Buffer(buffer), None, &[], false);
        self.check_in(list, check, span)
    }

    /// Whether something in the payload's list leaves a place that others count from.
    pub fn moves_behind(&self) -> bool {
        let moves = |item: &Item| {
            matches!(
                item.check,
                Check::Content(_) | Check::Pcre(_) | Check::ByteJump(_) | Check::ByteExtract(_) | Check::ByteMath(_)
            )
        };
        self.lists.iter().any(|list| list.selected == Selected::Payload && list.items.iter().any(moves))
    }

    fn check_in(&mut self, list: usize, check: Check, span: Range<usize>) -> Done {
        if self.order as usize >= MAX_CHECKS {
            return Err(Mistake::new(&codes::TOO_LONG, format!("the rule has more than {MAX_CHECKS} conditions")));
        }
        self.lists[list].items.push(Item { check, order: self.order, setting: self.setting, span });
        self.order += 1;
        Ok(())
    }

    /// The list of what is selected now.
    pub fn list(&mut self) -> usize {
        match &mut self.sticky {
            None => self.list_of(&Selected::Payload, None, &[], false),
            Some(Sticky { list: Some(list), .. }) => *list,
            Some(Sticky { selected, toward, transforms, .. }) => {
                let (selected, toward, transforms) = (selected.clone(), *toward, transforms.clone());
                let fresh = matches!(selected, Selected::Buffer(buffer) if buffer.is_multiple());
                let list = self.list_of(&selected, toward, &transforms, fresh);
                if let Some(sticky) = &mut self.sticky {
                    sticky.list = Some(list);
                }
                list
            }
        }
    }

    fn list_of(
        &mut self,
        selected: &Selected,
        toward: Option<Direction>,
        transforms: &[Transform],
        fresh: bool,
    ) -> usize {
        let there = |list: &List| list.selected == *selected && list.toward == toward && list.transforms == transforms;
        if let Some(list) = self.lists.iter().position(there).filter(|_| !fresh) {
            return list;
        }
        self.slots.push(Slot::List(self.lists.len()));
        let (selected, transforms) = (selected.clone(), transforms.to_vec());
        self.lists.push(List { selected, toward, transforms, items: Vec::new() });
        self.lists.len() - 1
    }

    /// The content that a modifier is about: the last one in the sticky buffer, else the last one of all.
    pub fn last_content(&mut self, modifier: &str) -> Result<(&mut Content, Range<usize>, u32), Mistake> {
        let (list, item) = self.last_content_place(modifier)?;
        let item = &mut self.lists[list].items[item];
        match &mut item.check {
            Check::Content(content) => Ok((content, item.span.clone(), item.order)),
            _ => Err(no_content(modifier)),
        }
    }

    fn last_content_place(&mut self, modifier: &str) -> Result<(usize, usize), Mistake> {
        let only = match &self.sticky {
            None => None,
            Some(Sticky { list: Some(list), .. }) => Some(*list),
            Some(_) => return Err(no_content(modifier)),
        };
        let all = self.lists.iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at));
        all.flat_map(|(list, entry)| {
            let contents = entry.items.iter().enumerate();
            contents
                .filter(|(_, item)| matches!(item.check, Check::Content(_)))
                .map(move |(at, item)| (item.order, list, at))
        })
        .max()
        .map(|(_, list, at)| (list, at))
        .ok_or_else(|| no_content(modifier))
    }

    /// Moves the last content of the payload into a buffer: what `http_uri` and its like do.
    pub fn move_content(&mut self, buffer: Buffer, keyword: &str) -> Done {
        if let Some(sticky) = &self.sticky {
            let message = format!("`{keyword}` modifies contents of the payload, and `{}` is selected", sticky.keyword);
            let help = format!("put `pkt_data` before the content, or select `{}`", buffer.name());
            return Err(Mistake::new(&codes::CONFLICT, message).help(help));
        }
        self.speak(buffer.apps(), keyword)?;
        let payload = self.lists.iter().position(|list| list.selected == Selected::Payload);
        let found = payload.and_then(|list| {
            let at = self.lists[list].items.iter().rposition(|item| matches!(item.check, Check::Content(_)))?;
            Some((list, at))
        });
        let (list, at) = found.ok_or_else(|| no_content(keyword))?;
        let item = self.lists[list].items.remove(at);
        let into = self.list_of(&Selected::Buffer(buffer), None, &[], false);
        self.lists[into].items.push(item);
        Ok(())
    }

    /// The index of a variable that was defined: what is read from the payload is not known in buffers, nor the other way round.
    pub fn variable(&self, name: &str) -> Option<u8> {
        let is_payload = |list: usize| self.lists[list].selected == Selected::Payload;
        let last = self.last_list().map(is_payload);
        let here = |payload: bool| match &self.sticky {
            Some(sticky) => payload == (sticky.selected == Selected::Payload),
            None => payload || last == Some(payload),
        };
        let known = |(known, list): &(Arc<str>, usize)| **known == *name && here(is_payload(*list));
        self.variables.iter().position(known).map(|at| at as u8)
    }
}

/// Whether one of two protocols is the other, or a version of it.
fn spoken_alike(a: App, b: App) -> bool {
    let versions = |app| match app {
        App::Http => [App::Http1, App::Http2, App::Doh2],
        App::Dns => [App::Dns, App::Doh2, App::Doh2],
        App::Doh2 => [App::Doh2, App::Http2, App::Dns],
        other => [other; 3],
    };
    a == b || versions(a).contains(&b) || versions(b).contains(&a)
}

fn no_content(modifier: &str) -> Mistake {
    let message = format!("`{modifier}` is about a content, and there is none before it");
    Mistake::new(&codes::NO_CONTENT, message).follows()
}
