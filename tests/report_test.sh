#!/bin/bash
# The report of a finished run: of a trace longer than the page holds, and one that cannot be made.
source "$(dirname "$0")/program.sh"

"$LINNET" run tiny.yaml --out run --quiet >/dev/null
rm run/shares.json # its canvas is not drawn
# Two groupings, as ecofl tells them; in each a member moves. The skews of the second are more than a call takes arguments.
python3 - >run/trace.jsonl <<'END'
for at, clients in ((1, 5000), (2, 130000)):
    print('{"time_s":%d,"what":"grouped","value":1}' % at)
    for client in range(clients):
        for what, value in (("skew", 0.25), ("latency", 3), ("joined", client % 4)):
            if what == "skew" or client < 30000:
                print('{"time_s":%d,"what":"%s","client":%d,"value":%g}' % (at, what, client, value))
    print('{"time_s":%d,"what":"moved","client":7,"value":1}' % at)
print('{"time_s":2,"what":"group_skew","client":1,"value":0.5}')
END
"$LINNET" report run >/dev/null
node "$LINNET_SOURCE_DIR/tests/report_page.js" run/report.html || fail "the page of a long trace"

# The run has succeeded, whatever becomes of its report.
rm run/report.html
mkdir run/report.html
"$LINNET" run tiny.yaml --out run --resume --quiet >end.out 2>end.err || fail "a finished run failed for its report: $(cat end.err)"
grep -q '^warning: the run is whole, but not its report: run/report\.html' end.err && grep -q 'at a time): run$' end.out || fail "what was said: $(cat end.out end.err)"
refuses 1 'run/report\.html' "$LINNET" report run
echo "report: $checks checks"
