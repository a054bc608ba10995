//! What a node tells through `tracing`, kept for looking at.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// A span or an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub target: String,
    pub level: Level,
    /// The name of a span, the message of an event.
    pub name: String,
    pub fields: BTreeMap<String, String>,
    /// For an event, the span it happened in.
    pub within: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Span,
    Event,
}

/// All spans and events of grid on this thread. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Log {
    /// Listens, until the guard is dropped, to this thread: for tests whose runtime has only the one.
    pub fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(Registry::default().with(log.clone()));
        (log, guard)
    }

    /// What was told so far under this target, with this name or message.
    pub fn of(&self, target: &str, name: &str) -> Vec<Entry> {
        let mut entries = self.all();
        entries.retain(|entry| entry.target == target && entry.name == name);
        entries
    }

    /// All that was told so far.
    pub fn all(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    fn push(&self, kind: Kind, metadata: &Metadata<'_>, within: Option<&'static str>, Fields(mut fields): Fields) {
        let (target, level) = (metadata.target().to_owned(), *metadata.level());
        let name = match kind {
            Kind::Span => metadata.name().to_owned(),
            Kind::Event => fields.remove("message").unwrap_or_default(),
        };
        if target.starts_with("grid::") {
            self.entries.lock().unwrap().push(Entry { kind, target, level, name, fields, within });
        }
    }
}

impl Entry {
    /// The value of a field.
    ///
    /// # Panics
    /// There is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, _id: &Id, _cx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.push(Kind::Span, attributes.metadata(), None, fields);
    }

    fn on_record(&self, _span: &Id, _values: &Record<'_>, _cx: Context<'_, S>) {
        unreachable!("grid gives all fields of a span at its start");
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.push(Kind::Event, event.metadata(), cx.event_span(event).map(|span| span.name()), fields);
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
