"""Runs of crons in a real host."""

from isolates.messages import Drain, Fire, Fired, Limits, LoadFailed, Log
from tests.isolates.driver import Host, Zygote, egress_listener

APP = """
export default {
  fetch: () => new Response('answered'),
  async scheduled(controller, env, ctx) {
    const { cron, scheduledTime, type } = controller;
    controller.noRetry();
    console.log(JSON.stringify([cron, scheduledTime, type, env.NAME, arguments.length, this === undefined]));
    if (cron === 'throws') throw new Error('bad run');
    const later = (resolve) => setTimeout(() => { console.log('waited'); resolve(); }, 30);
    if (cron === 'waits') ctx.waitUntil(new Promise(later));
    if (cron === 'fails later') ctx.waitUntil(Promise.reject(new Error('bad later')));
    if (cron === 'never') await new Promise(() => {});
  },
};"""


def fire(host: Host, cron: str, run_id: str = "cron-1") -> None:
    host.end.send(Fire(run_id, cron, 1_700_000_000_000))


def test_the_handler_gets_controller_environment_and_context(platform_host: Host) -> None:
    edge = platform_host.serve(APP, environment={"NAME": "value"}, scheduled=True)
    fire(platform_host, "*/5 * * * *")
    line = platform_host.end.expect(Log)
    assert line.message == '["*/5 * * * *",1700000000000,"scheduled","value",3,false]'
    assert line.request_id == "cron-1"
    fired = platform_host.end.expect(Fired)
    assert (fired.run_id, fired.outcome) == ("cron-1", "ok")
    assert edge.ask() == "answered"


def test_outcomes(platform_host: Host) -> None:
    platform_host.serve(APP, scheduled=True, limits=Limits(cron_wall_ms=300))
    for run_id, cron in enumerate(("throws", "waits", "fails later", "never")):
        fire(platform_host, cron, str(run_id))
    ended: dict[str, str] = {}
    while len(ended) < 4:
        message = platform_host.end.next()
        if isinstance(message, Fired):
            ended[message.run_id] = message.outcome
    assert ended == {"0": "exception", "1": "ok", "2": "exception", "3": "timeout"}
    lines = {
        (line.request_id, line.level, line.message.partition("\n")[0])
        for line in platform_host.end.seen
        if isinstance(line, Log)
    }
    assert ("0", "error", "The run of the cron throws failed: Error: bad run") in lines
    assert ("1", "info", "waited") in lines
    assert ("2", "error", "The run of the cron fails later failed: Error: bad later") in lines
    timeout = "The run of the cron never took longer than the limit cron_wall_ms = 300 and was given up"
    assert ("3", "warn", timeout) in lines


def test_work_of_a_run_that_is_given_up_ends(platform_host: Host) -> None:
    app = """
    let [attempts, late, turns] = [0, 0, 0];
    async function work() {
      for (;;) {
        attempts++;
        try { await fetch('http://slow.test/'); } catch { setTimeout(() => late++, 1); }
      }
    }
    async function sleepAndCount() { for (;; turns++) await new Promise((resolve) => setTimeout(resolve, 1)); }
    export default {
      async fetch() {
        const before = turns;
        for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
        return Response.json([attempts, late, turns > 0, turns - before]);
      },
      scheduled: () => Promise.all([work(), sleepAndCount()]),
    };"""
    with egress_listener(platform_host.folder) as listener:
        edge = platform_host.serve(app, scheduled=True, limits=Limits(cron_wall_ms=300))
        fire(platform_host, "goes on for ever")
        egress, _ = listener.accept()
        with egress:
            assert platform_host.end.expect(Fired).outcome == "timeout"
            # The second attempt, made when the first was cancelled, never settles: a third would follow at once.
            assert edge.ask() == "[2,0,true,0]"


def test_many_runs_at_once_all_end(platform_host: Host) -> None:
    platform_host.serve("export const scheduled = async () => {}; export const fetch = () => new Response('');")
    for number in range(500):
        fire(platform_host, "x" * 90, f"run-{number}")
    assert {platform_host.end.expect(Fired).run_id for _ in range(500)} == {f"run-{number}" for number in range(500)}


def test_classes_and_named_exports_have_handlers_too(platform_zygote: Zygote) -> None:
    for app in (
        "export default class { constructor(ctx, env) { this.env = env; } fetch() {}"
        " scheduled() { console.log(this.env.NAME); } }",
        "export function scheduled(controller, env) { console.log(env.NAME); }",
    ):
        host = platform_zygote.fork()
        host.serve(app, environment={"NAME": "value"}, scheduled=True)
        fire(host, "x")
        assert host.end.expect(Log).message == "value"
        assert host.end.expect(Fired).outcome == "ok"


def test_an_app_with_crons_alone_answers_requests_with_404(platform_host: Host) -> None:
    edge = platform_host.serve("export default { scheduled() {} };", scheduled=True)
    edge.request(1)
    assert edge.frame().status == 404


def test_crons_without_a_handler_are_refused_when_loading(platform_host: Host) -> None:
    platform_host.load("export default { fetch() {} };", scheduled=True)
    assert "brrrd.json has crons, but the module main.js has no handler" in platform_host.end.expect(LoadFailed).message


def test_a_drain_waits_for_runs(platform_host: Host) -> None:
    platform_host.serve(APP, scheduled=True)
    fire(platform_host, "waits")
    platform_host.end.expect(Log)
    platform_host.end.send(Drain(5000))
    assert platform_host.end.expect(Fired).outcome == "ok"
    assert platform_host.exit_status() == 0
