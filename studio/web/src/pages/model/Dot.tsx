/** A label's colour; grey where the project has no such label any more. */
export function Dot({ colour, size = 10 }: { colour: string | null | undefined; size?: number }) {
  return (
    <svg width={size} height={size} aria-hidden style={{ flexShrink: 0 }}>
      <circle cx={size / 2} cy={size / 2} r={size / 2} fill={colour ?? "var(--mantine-color-gray-5)"} />
    </svg>
  );
}
