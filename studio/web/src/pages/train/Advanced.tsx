import { Anchor, NumberInput, Select, SimpleGrid, Slider, Stack, Switch, Text, Input } from "@mantine/core";
import { Link } from "react-router";
import { bytes } from "@/components/words";
import { BLANK, type TrainForm } from "@/pages/train/form";
import { useBackbones, useModels } from "@/pages/train/jobs";

const SCRATCH = "from scratch";

interface Props {
  project: string;
  form: TrainForm;
  /** Images that are flagged for validation. */
  flagged: number;
  change: (changed: Partial<TrainForm>) => void;
}

/** What an expert may want otherwise. Where a box is empty, the trainer chooses by the data. */
export function Advanced({ project, form, flagged, change }: Props) {
  const backbones = useBackbones(project).data ?? [];
  const models = useModels(project).data ?? [];
  const networks = backbones.map(({ name, built_in, size_bytes }) => ({
    value: name,
    label: `${name === "onsight-small" ? "Small" : name} (${built_in ? "comes with Onsight" : "added here"}, ${bytes(size_bytes)})`,
  }));
  return (
    <Stack gap="lg" pt="xs">
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="lg">
        <Share
          label="Validation images"
          about="To check the model with while it learns."
          value={form.validationPercent}
          most={90 - form.testPercent}
          disabled={form.useFlags}
          onChange={(validationPercent) => change({ validationPercent })}
        />
        <Share
          label="Test images"
          about="Kept for the final figures alone."
          value={form.testPercent}
          most={90 - form.validationPercent}
          onChange={(testPercent) => change({ testPercent })}
        />
      </SimpleGrid>
      <Switch
        label="Validate with the images that were flagged"
        description={
          flagged > 0 ? (
            `${flagged.toLocaleString("en")} images are flagged; they take the place of the share above.`
          ) : (
            <>
              No image is flagged for validation yet. Flag some on the page{" "}
              <Anchor component={Link} to={`/p/${project}/images`} inherit>
                Images
              </Anchor>
              .
            </>
          )
        }
        checked={form.useFlags}
        disabled={flagged === 0 && !form.useFlags}
        onChange={(event) => change({ useFlags: event.currentTarget.checked })}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="lg">
        <Select
          label="Model size"
          description="The network that sees for the model."
          data={[...networks, { value: SCRATCH, label: "From random weights (tiny images)" }]}
          value={form.fromScratch ? SCRATCH : (form.backbone ?? networks[0]?.value ?? null)}
          allowDeselect={false}
          onChange={(value) =>
            change(value === SCRATCH ? { fromScratch: true, fineTune: false } : { fromScratch: false, backbone: value === networks[0]?.value ? null : value })
          }
        />
        <Select
          label="Begin from"
          description="The best weights of a model of the same form; its labels are matched by name."
          placeholder="Nothing: as if it were the first"
          clearable
          searchable
          data={models.map(({ id, name }) => ({ value: id, label: name }))}
          value={form.warmStart}
          onChange={(warmStart) => change({ warmStart })}
        />
        <Select
          label="Augmentation"
          description="Random changes of what the network learns from."
          data={[
            { value: "none", label: "None" },
            { value: "light", label: "Light: shift, zoom, turn, brightness" },
            { value: "flip", label: "Light, and mirror images (not for text or hands)" },
          ]}
          value={form.augmentation}
          allowDeselect={false}
          disabled={!form.fineTune && !form.fromScratch}
          onChange={(value) => change({ augmentation: (value as TrainForm["augmentation"] | null) ?? BLANK.augmentation })}
        />
      </SimpleGrid>
      <Switch
        label="Fine-tune the network"
        description="After the head, the network itself learns too: often better, and far slower."
        checked={form.fineTune}
        disabled={form.fromScratch}
        onChange={(event) => change({ fineTune: event.currentTarget.checked })}
      />
      <Switch
        label="Weight rare labels up"
        description="Class weighting: every label counts the same, however few images it has."
        checked={form.classWeighting}
        onChange={(event) => change({ classWeighting: event.currentTarget.checked })}
      />
      {form.goal === "multi_label" && (
        <Switch
          label="Images without a label show none of them"
          description="They are learnt from as negative examples, instead of being left out."
          checked={form.unlabelledAsNegative}
          onChange={(event) => change({ unlabelledAsNegative: event.currentTarget.checked })}
        />
      )}
      <SimpleGrid cols={{ base: 2, sm: 3 }} spacing="md">
        <Box label="Learning rate" value={form.learningRate} min={0.000001} max={9.99} decimals={6} step={0.0005} onChange={(learningRate) => change({ learningRate })} />
        <Box label="Epochs, at most" value={form.epochs} min={1} onChange={(epochs) => change({ epochs })} />
        <Box label="Patience in epochs" value={form.patience} min={1} onChange={(patience) => change({ patience })} />
        <Box label="Batch size" value={form.batchSize} min={1} onChange={(batchSize) => change({ batchSize })} />
        <Box label="Input size in pixels" value={form.size} min={8} max={4096} onChange={(size) => change({ size })} />
        <Box label="Hidden units" value={form.hiddenUnits} min={0} max={65_536} onChange={(hiddenUnits) => change({ hiddenUnits })} />
        <Box label="Seed" value={form.seed} min={0} max={4_294_967_295} onChange={(seed) => change({ seed: seed ?? 0 })} />
      </SimpleGrid>
    </Stack>
  );
}

interface ShareProps {
  label: string;
  about: string;
  value: number;
  most: number;
  disabled?: boolean;
  onChange: (percent: number) => void;
}

function Share({ label, about, value, most, disabled = false, onChange }: ShareProps) {
  return (
    <Input.Wrapper label={label} description={about} labelElement="div">
      <Slider
        mt="xs"
        min={0}
        max={50}
        step={5}
        value={value}
        disabled={disabled}
        label={(percent) => `${percent} %`}
        onChange={(percent) => onChange(Math.min(percent, most))}
        thumbLabel={label}
        thumbValueText={`${value} percent`}
      />
      <Text size="xs" c="dimmed" mt={4} className="tabular">
        {disabled ? "the flagged ones" : `${value} %`}
      </Text>
    </Input.Wrapper>
  );
}

interface BoxProps {
  label: string;
  value: number | null;
  min: number;
  max?: number;
  decimals?: number;
  step?: number;
  onChange: (value: number | null) => void;
}

/** A number, or nothing: then the trainer chooses. */
function Box({ label, value, min, max, decimals = 0, step = 1, onChange }: BoxProps) {
  return (
    <NumberInput
      label={label}
      placeholder="automatic"
      value={value ?? ""}
      min={min}
      max={max}
      step={step}
      decimalScale={decimals}
      allowNegative={false}
      onChange={(typed) => onChange(typeof typed === "number" && typed >= min ? typed : null)}
    />
  );
}
