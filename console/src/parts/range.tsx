// A figure with its interval as a line on a scale, for those who see; its words stand beside it and say the same.

import type { Interval } from "../pure/figures";

const WIDE = 100;
const HIGH = 12;

/** `from` and `to` are the ends of the scale; `mark` a bound to be seen against, such as four fifths. */
export function Range({
    value,
    interval,
    from = 0,
    to = 1,
    mark,
}: {
    value: number;
    interval: Interval | null;
    from?: number;
    to?: number;
    mark?: number;
}) {
    const at = (one: number) => (Math.min(to, Math.max(from, one)) - from) * (WIDE / (to - from));
    return (
        <svg className="range" viewBox={`-3 0 ${WIDE + 6} ${HIGH}`} aria-hidden="true">
            <path className="scale" d={`M0 ${HIGH / 2}H${WIDE}`} />
            {mark !== undefined && <path className="bound" d={`M${at(mark)} 0V${HIGH}`} />}
            {interval && <path className="span" d={`M${at(interval.low)} ${HIGH / 2}H${at(interval.high)}`} />}
            <circle cx={at(value)} cy={HIGH / 2} r="2.6" />
        </svg>
    );
}
