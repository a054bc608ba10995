//! All ends against all ways of being blocked.

use grid_tests::memory::within;

use crate::cell::{End, Outcome, run};
use crate::silent;
use crate::stage::Blocked;

pub(crate) const WINDOWS: [u32; 2] = [1, 16];

/// One end, whatever blocks and whatever the window.
async fn row(end: End) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for window in WINDOWS {
        for blocked in Blocked::WAYS {
            eprintln!("{end:?}, {blocked:?}, window {window}");
            outcomes.push(within(run(end, blocked, window)).await);
        }
    }
    outcomes
}

macro_rules! rows {
    ($($test:ident: $end:ident, $label:literal;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                row(End::$end).await;
            }
        )*

        const ROWS: &[(End, &str)] = &[$((End::$end, $label)),*];
    };
}

rows! {
    a_handler_returns: HandlerReturns, "handler returns";
    a_caller_finishes_and_the_handler_returns: CallerFinishes, "caller finishes, handler returns";
    a_handler_fails: HandlerFails, "handler fails";
    a_handler_panics: HandlerPanics, "handler panics";
    a_handler_returns_with_its_input_unread: InputUnread, "handler returns, input unread";
    a_caller_drops_its_inbound: InboundDropped, "caller drops Inbound";
    a_caller_drops_its_outbound_unfinished: OutboundDropped, "caller drops Outbound";
    a_deadline_passes: Deadline, "deadline";
    a_remote_dies_silently: Silence, "remote dies silently";
    a_link_is_cut: Cut, "link is cut";
    the_node_of_the_caller_is_shut_down: CallerShutDown, "shutdown of the caller's node";
    the_node_of_the_handler_is_shut_down: HandlerShutDown, "shutdown of the handler's node";
}

#[tokio::test(start_paused = true)]
async fn the_matrix_of_ends() {
    let mut table: Vec<(&str, Vec<Outcome>)> = Vec::new();
    for (end, label) in ROWS {
        table.push((label, row(*end).await));
    }
    table.push(("handler is not heard any more", silent::handler_row().await));
    table.push(("caller is not heard any more", silent::caller_row().await));
    for (index, window) in WINDOWS.into_iter().enumerate() {
        println!("\nwindow {window}: items that the caller read, what it was told then; what became of the handler\n");
        line("", &["neither", "in blocked", "out blocked", "both"].map(str::to_owned));
        for (label, outcomes) in &table {
            let cells = &outcomes[index * Blocked::WAYS.len()..][..Blocked::WAYS.len()];
            line(label, &cells.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
}

fn line(label: &str, cells: &[String]) {
    let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:30}")).collect();
    println!("{label:34}{}", cells.join(""));
}
