//! What a person sees of the example, in a terminal and in a pipe.

use super::*;
use crate::human::width_of;
use herder_wire::status::example::example;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_420_800)
}

fn shown(slots: u32, width: Option<usize>) -> String {
    render(&example(slots), now(), width, Paint(false))
}

#[test]
fn everything_is_said_in_order() {
    assert_eq!(
        shown(3, None),
        "\
web: degraded, 2 of 3 workers ready, 1 starting, 1 draining, generation 3
  status   degraded 2/3: slot 0 was killed for want of memory
  herder   pid 100, version 0.1.0, up 13min 20s, 1s 234ms of CPU time, 2.2M of memory, 40 file descriptors
  sockets  web [::]:80 (stream): 17 of 4096 waiting, 3 dropped, slots 0 1
           admin /run/web/admin.sock (stream): 0 of 128 waiting
           ! the backlog of admin is 128 and was 4096
           queue (fifo)
  set      stop-timeout = \"2min\", else \"30s\"
  reloads  2026-11-23 07:59:00 UTC, 1min ago: to generation 4, failed after 1s 500ms: worker 9 exited with status 1
           2026-11-23 07:59:00 UTC, 1min ago: to generation 3, done after 1s 500ms
  starting worker 100: it listens on [::]:3000
  so far   12 respawns, 1 crash, 11 failures (1 not started, 5 died before ready, 2 timed out, 3 died young), 6 killed for want of memory, 4 retired, 2 recycled, 1 of them for memory, degraded for 1min 1s

SLOT  WORKER   PID  STATE     GEN  READY BY      AGE    CPU  CPU TIME  MEMORY   PEAK  TASKS  FDS  OOM  RESPAWNS  LAST EXIT                           STATUS
   0     100     -  starting    3  -              0s      -         -       -      -      -    -    -        12  out of memory, 1min ago, lived 20s  evil \\u{1b}[2J<script>alert(1)</script>
   1       2  4002  draining    2  notified  1h 2min   5.0%        3s     19M  22.8M      4   12    0         0  -                                   10 requests
   1     101  5001  ready       3  notified  1min 2s   5.0%        3s     19M  22.8M      4   12    0         0  -                                   10 requests
   2     102  5002  ready       3  notified  1min 3s  10.0%  4s 500ms   28.6M  34.3M      4   12    0         0  -                                   20 requests
"
    );
}

#[test]
fn eighty_columns_have_what_matters() {
    assert_eq!(
        shown(3, Some(80)),
        "\
web: degraded, 2 of 3 workers ready, 1 starting, 1 draining, generation 3
  status   degraded 2/3: slot 0 was killed for want of memory
  herder   pid 100, version 0.1.0, up 13min 20s, 1s 234ms of CPU time,
           2.2M of memory, 40 file descriptors
  sockets  web [::]:80 (stream): 17 of 4096 waiting, 3 dropped, slots 0 1
           admin /run/web/admin.sock (stream): 0 of 128 waiting
           ! the backlog of admin is 128 and was 4096
           queue (fifo)
  set      stop-timeout = \"2min\", else \"30s\"
  reloads  2026-11-23 07:59:00 UTC, 1min ago: to generation 4, failed after
           1s 500ms: worker 9 exited with status 1
           2026-11-23 07:59:00 UTC, 1min ago: to generation 3, done after
           1s 500ms
  starting worker 100: it listens on [::]:3000
  so far   12 respawns, 1 crash, 11 failures (1 not started,
           5 died before ready, 2 timed out, 3 died young),
           6 killed for want of memory, 4 retired, 2 recycled,
           1 of them for memory, degraded for 1min 1s

SLOT  WORKER   PID  STATE         AGE    CPU  MEMORY  LAST EXIT
   0     100     -  starting       0s      -       -  out of memory, 1min ago,…
   1       2  4002  draining  1h 2min   5.0%     19M  -
   1     101  5001  ready     1min 2s   5.0%     19M  -
   2     102  5002  ready     1min 3s  10.0%   28.6M  -
"
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in (20..=200).step_by(3) {
        for line in shown(300, Some(width)).lines() {
            assert!(width_of(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn a_wide_terminal_has_every_column_and_three_hundred_workers_a_line_each() {
    let text = shown(300, Some(200));
    for column in COLUMNS {
        assert!(text.contains(column.heading), "{column:?}");
    }
    let (_, table) = text.split_once("\n\n").unwrap();
    assert_eq!(table.lines().count(), 302);
}

#[test]
fn what_a_worker_says_does_nothing_to_the_terminal() {
    let text = shown(3, None);
    assert!(!text.contains('\x1b') && text.contains("evil \\u{1b}[2J<script>"), "{text}");
    let painted = render(&example(3), now(), Some(80), Paint(true));
    let escapes: std::collections::BTreeSet<&str> =
        painted.split('\x1b').skip(1).filter_map(|rest| rest.split_inclusive('m').next()).collect();
    assert_eq!(escapes.into_iter().collect::<Vec<_>>(), ["[0m", "[1m", "[2m", "[33m"]);
}

#[test]
fn a_reload_under_way_is_told() {
    let reload = Some(Progress {
        generation: 4,
        phase: Phase::Rolling,
        replaced: 1,
        wanted: 3,
        started_at_usec: 1_795_420_795_000_000,
    });
    let text = render(&Status { reload, ..example(3) }, now(), None, Paint(false));
    let line = "\n  reload   to generation 4, since 5s: replacing workers, 1 of 3 replaced\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn bounds_stand_beside_the_number() {
    let elastic = Status { min: 2, max: 16, ..example(4) };
    let text = render(&elastic, now(), None, Paint(false));
    assert!(text.lines().next().unwrap().contains(" of 4 workers ready (2 to 16)"), "{text}");
}

#[test]
fn nothing_running_is_no_table() {
    let idle =
        Status { workers: Vec::new(), sockets: Vec::new(), reloads: Vec::new(), ..example(1) };
    let text = render(&idle, now(), None, Paint(false));
    assert!(text.contains("  sockets  none\n") && text.ends_with("\nno workers\n"), "{text}");
}
