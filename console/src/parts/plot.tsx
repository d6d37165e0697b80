// A plot over time. The canvas is for the eye; the same figures are in a table that is one press away.

import "uplot/dist/uPlot.min.css";

import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";

import { type Mark, touches } from "../pure/marks";
import { Table } from "./table";

export interface Line {
    label: string;
    values: (number | null)[];
    colour: string;
    /** Drawn as a stepped area from zero, behind the ones after it. */
    isArea?: boolean;
    /** What the legend says where it differs from what is drawn (stacked areas). */
    says?: (number | null)[];
}

/** Where a value stands alone: a line through it would show nothing. */
function alone(values: (number | null | undefined)[]): number[] {
    return values.flatMap((value, index) =>
        value != null && values[index - 1] == null && values[index + 1] == null ? [index] : [],
    );
}

function clock(times: number[]): (values: number[]) => string[] {
    const isLong = (times.at(-1) ?? 0) - (times[0] ?? 0) > 36 * 3600;
    return (values) =>
        values.map((value) =>
            new Date(value * 1000).toLocaleString(
                "en-GB",
                isLong ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" },
            ),
        );
}

interface Drawn {
    title: string;
    times: number[];
    lines: Line[];
    format: (value: number) => string;
    sync: string;
    /** What changed meanwhile: a line for a moment, a band for what lasted. */
    marks?: Mark[];
}

const HEIGHT = 150;
const LANES = { alert: 0, hold: 4, incident: 8, release: 12 };
const COLOURS = { release: "--accent", alert: "--bad", hold: "--warn", incident: "--k-model" };

/** The colour that a custom property stands for now: the canvas knows no `light-dark()`. */
function resolved(name: string): string {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
}

/** With one more instant at the end, up to which the last slice of an area reaches. */
function drawn(times: number[], lines: Line[]): uPlot.AlignedData {
    const width = times.length > 1 ? times[1]! - times[0]! : 60;
    const more = (line: Line) => [...line.values, line.isArea ? (line.values.at(-1) ?? null) : null];
    return [[...times, (times.at(-1) ?? 0) + width], ...lines.map(more)] as uPlot.AlignedData;
}

/** What lasts lies behind the lines, for as long as it lasted; a release is a moment. Each kind has a lane of its own at
 *  the top, so that none hides another. */
function drawMarks(plot: uPlot, marks: Mark[], isBehind: boolean): void {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const pixel = devicePixelRatio;
    const place = (at: number) => Math.round(plot.valToPos(at / 1000, "x", true));
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    for (const mark of marks) {
        ctx.strokeStyle = ctx.fillStyle = resolved(COLOURS[mark.kind]);
        const begin = place(mark.begin);
        if (mark.kind !== "release") {
            const end = mark.end === null ? left + width : place(mark.end);
            const wide = Math.max(end - begin, 3 * pixel);
            ctx.globalAlpha = isBehind ? 0.14 : 1;
            if (isBehind) ctx.fillRect(begin, top, wide, height);
            else ctx.fillRect(begin, top + LANES[mark.kind] * pixel, wide, 3 * pixel);
        } else if (!isBehind) {
            ctx.globalAlpha = 1;
            ctx.lineWidth = pixel;
            ctx.setLineDash([4 * pixel, 3 * pixel]);
            ctx.beginPath();
            ctx.moveTo(begin, top);
            ctx.lineTo(begin, top + height);
            ctx.stroke();
            ctx.fillRect(begin - 2 * pixel, top + LANES.release * pixel, 5 * pixel, 5 * pixel);
        }
    }
    ctx.restore();
}

export function Plot({ title, times, lines, format, sync, marks = [] }: Drawn) {
    const marked = useRef(marks);
    marked.current = marks;
    const box = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot | null>(null);
    const [at, setAt] = useState<number | null>(null);
    const [look, setLook] = useState(0);
    const shape = lines.map((line) => line.label).join();

    useEffect(() => {
        const again = () => setLook((one) => one + 1);
        const query = window.matchMedia("(prefers-color-scheme: dark)");
        query.addEventListener("change", again);
        window.addEventListener("themechange", again);
        return () => {
            query.removeEventListener("change", again);
            window.removeEventListener("themechange", again);
        };
    }, []);

    useEffect(() => {
        const element = box.current;
        if (!element) return;
        const edge = resolved("--edge");
        const ink = resolved("--faint");
        const font = `11px ${getComputedStyle(document.body).fontFamily}`;
        const axis = { stroke: ink, grid: { stroke: edge, width: 1 }, ticks: { show: false }, font };
        const stepped = uPlot.paths.stepped?.({ align: 1 });
        const made = new uPlot(
            {
                width: element.clientWidth || 300,
                height: HEIGHT,
                legend: { show: false },
                cursor: { sync: { key: sync }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
                scales: { x: { time: true }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
                axes: [
                    { ...axis, space: 70, size: 28, values: (one, splits) => clock(one.data[0] as number[])(splits) },
                    {
                        ...axis,
                        size: 58,
                        values: (_, values) => values.map((value) => (value === null ? "" : format(value))),
                        space: 32,
                    },
                ],
                series: [
                    {},
                    ...lines.map((line) => {
                        const colour = resolved(line.colour);
                        return line.isArea
                            ? {
                                  label: line.label,
                                  stroke: colour,
                                  fill: colour,
                                  width: 0,
                                  points: { show: false },
                                  ...(stepped ? { paths: stepped } : {}),
                              }
                            : {
                                  label: line.label,
                                  stroke: colour,
                                  width: 1.75,
                                  spanGaps: false,
                                  points: {
                                      show: true,
                                      size: 5,
                                      width: 0,
                                      fill: colour,
                                      filter: (one: uPlot, at: number) => alone(one.data[at] as (number | null)[]),
                                  },
                              };
                    }),
                ],
                hooks: {
                    drawClear: [(one) => drawMarks(one, marked.current, true)],
                    draw: [(one) => drawMarks(one, marked.current, false)],
                    setCursor: [
                        (one) =>
                            setAt(
                                one.cursor.idx == null || one.cursor.idx >= one.data[0].length - 1
                                    ? null
                                    : one.cursor.idx,
                            ),
                    ],
                },
            },
            drawn(times, lines),
            element,
        );
        plot.current = made;
        const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
        observer.observe(element);
        return () => {
            observer.disconnect();
            made.destroy();
            plot.current = null;
        };
    }, [look, shape, sync]);

    useEffect(() => {
        plot.current?.setData(drawn(times, lines));
    }, [times, lines, marks]);

    const isEmpty = lines.every((line) => line.values.every((value) => value === null || (value === 0 && line.isArea)));
    const kinds = [...new Set(marks.map((mark) => mark.kind))].sort();
    const width = times.length > 1 ? times[1]! - times[0]! : 60;
    const here = at === null ? [] : marks.filter((one) => touches(one, times[at]! * 1000, (times[at]! + width) * 1000));
    const said = (line: Line, index: number) => {
        const value = (line.says ?? line.values)[index];
        return value === null || value === undefined ? "–" : format(value);
    };
    return (
        <figure className="card plot">
            <figcaption>
                <h2>{title}</h2>
                <ul className="legend">
                    {lines.map((line) => (
                        <li key={line.label}>
                            <span className="swatch" style={{ background: `var(${line.colour})` }} aria-hidden="true" />
                            {line.label} {at !== null && <span className="number">{said(line, at)}</span>}
                        </li>
                    ))}
                    {kinds.map((kind) => (
                        <li key={kind}>
                            <span className={`swatch cause ${kind}`} aria-hidden="true" />
                            {kind}
                        </li>
                    ))}
                </ul>
            </figcaption>
            <div
                className="canvas"
                ref={box}
                role="img"
                aria-label={`${title} over time; the figures are in the table below`}
            >
                {isEmpty && <p className="none">nothing in this span</p>}
            </div>
            <details>
                <summary>
                    {at === null
                        ? "Figures"
                        : [
                              new Date(times[at]! * 1000).toLocaleTimeString("en-GB"),
                              ...here.map((mark) => mark.text),
                          ].join(" · ")}
                </summary>
                <Table label={`Figures of ${title}`} columns={["From", ...lines.map((line) => line.label)]}>
                    {times.map((time, index) => (
                        <tr key={time}>
                            <th scope="row">
                                {new Date(time * 1000).toLocaleString("en-GB", {
                                    dateStyle: "short",
                                    timeStyle: "medium",
                                })}
                            </th>
                            {lines.map((line) => (
                                <td key={line.label}>{said(line, index)}</td>
                            ))}
                        </tr>
                    ))}
                </Table>
            </details>
        </figure>
    );
}
