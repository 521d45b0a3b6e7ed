import { Alert, Button, Group, SimpleGrid, Stack, Table, Text, Tooltip } from "@mantine/core";
import { IconDownload, IconFileText, IconKey, IconLock, IconShieldCheck } from "@tabler/icons-react";
import type { Schemas } from "@/api/client";
import { Secret } from "@/components/Secret";
import { bytes, count, percent } from "@/components/words";
import { METRIC } from "@/pages/download/forms";
import { Install } from "@/pages/download/Install";
import { fileAddress } from "@/pages/download/useExports";

interface Props {
  project: string;
  bundle: Schemas["ExportedBundle"];
}

/** A finished bundle: the files, what is in it, and how it gets to work elsewhere. */
export function Bundle({ project, bundle }: Props) {
  const refused = bundle.licence !== null && !bundle.licence.may_download;
  return (
    <Stack gap="lg">
      {bundle.licence && <LicenceState licence={bundle.licence} />}
      <Group gap="sm">
        {refused ? (
          <Button disabled leftSection={<IconLock size={16} />}>
            Download the bundle
          </Button>
        ) : (
          <Button component="a" href={fileAddress(project, bundle.id, "file")} download={bundle.file_name} leftSection={<IconDownload size={16} />}>
            Download the bundle, {bytes(bundle.bytes)}
          </Button>
        )}
        <Button component="a" variant="default" href={fileAddress(project, bundle.id, "key")} download={bundle.key_file_name} leftSection={<IconKey size={16} />}>
          The maker&apos;s key
        </Button>
        <Button component="a" variant="default" href={fileAddress(project, bundle.id, "instructions")} download="INSTALL.md" leftSection={<IconFileText size={16} />}>
          Instructions
        </Button>
      </Group>
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Stack gap={4}>
          <Text size="sm" fw={600}>
            SHA-256 of the file
          </Text>
          <Secret label="SHA-256" value={bundle.sha256} small />
          <Text size="sm" c="dimmed">
            {count(bundle.labels.length, "label")}; signed with the key {bundle.key_id}, which the target has to trust.
          </Text>
        </Stack>
        <Forms forms={bundle.forms} />
      </SimpleGrid>
      <Install targets={bundle.targets} />
    </Stack>
  );
}

function LicenceState({ licence }: { licence: Schemas["Licence"] }) {
  if (licence.may_download) {
    return (
      <Alert color="teal" variant="light" icon={<IconShieldCheck size={18} />} style={{ overflowWrap: "anywhere" }}>
        It serves only under a licence of issuer {licence.issuer}. A licence of this install lets it be downloaded.
      </Alert>
    );
  }
  return (
    <Alert color="yellow" variant="light" icon={<IconLock size={18} />} title="No licence lets it be downloaded" role="alert">
      <Stack gap={4}>
        <Text size="sm">{licence.detail}</Text>
        <Text size="sm" c="dimmed">
          {licence.code}. An admin can look at this install&apos;s licences and install one.
        </Text>
      </Stack>
    </Alert>
  );
}

function Forms({ forms }: { forms: Schemas["Form"][] }) {
  return (
    <Table.ScrollContainer minWidth={320}>
      <Table aria-label="Forms of the model">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Form</Table.Th>
            <Table.Th ta="right">Size</Table.Th>
            <Table.Th ta="right">
              <Tooltip label="Share of held-out images on which it gives the answer that full precision gives.">
                <span tabIndex={0}>Same answers</span>
              </Tooltip>
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {forms.map(({ name, bytes: size, measured }) => (
            <Table.Tr key={name}>
              <Table.Td>{name}</Table.Td>
              <Table.Td ta="right" className="tabular">
                {bytes(size)}
              </Table.Td>
              <Table.Td ta="right" className="tabular">
                {measured ? (
                  <Tooltip
                    label={`${METRIC[measured.metric] ?? measured.metric.replaceAll("_", " ")} ${percent(measured.value)} on ${count(measured.images, "image")}; ${percent(measured.full)} in full precision`}
                  >
                    <span tabIndex={0}>{percent(measured.agreement)}</span>
                  </Tooltip>
                ) : (
                  "the reference"
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
