//! Diagnostics for people: the line, a caret, what was expected, what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

use super::{Diagnostic, Place, Severity};

/// Renders diagnostics one after another, each with an empty line behind it. `colour`: with terminal escapes.
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&renderer.render(&groups(diagnostic)));
        text.push_str("\n\n");
    }
    text
}

/// The last line: how many errors and warnings there are.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", count(errors, "error"), count(diagnostics.len() - errors, "warning"))
}

fn groups(diagnostic: &Diagnostic) -> Vec<Group<'_>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = Group::with_title(title);
    if diagnostic.place.line > 0 {
        let label = diagnostic.expected.as_ref().map(|expected| format!("expected {expected}"));
        group = group.element(snippet(&diagnostic.place, label, AnnotationKind::Primary));
    } else {
        group = group.element(annotate_snippets::Origin::path(diagnostic.place.file.as_str()));
        if let Some(expected) = &diagnostic.expected {
            group = group.element(Level::NOTE.message(format!("expected {expected}")));
        }
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let mut groups = vec![group];
    for related in diagnostic.related.iter().chain(&diagnostic.further) {
        let title = Level::NOTE.secondary_title(related.message.as_str());
        let context = AnnotationKind::Primary;
        groups.push(Group::with_title(title).element(snippet(&related.place, None, context)));
    }
    groups
}

fn snippet(
    place: &Place,
    label: Option<String>,
    kind: AnnotationKind,
) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    let annotation = kind.span(place.caret.clone());
    let annotation = match label {
        Some(label) => annotation.label(label),
        None => annotation,
    };
    Snippet::source(place.excerpt.as_str())
        .line_start(place.line as usize)
        .path(place.file.as_str())
        .annotation(annotation)
}
