import { Kbd, Modal, Table } from "@mantine/core";
import { HELP } from "@/pages/images/keys";

export function Help({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="Keys" size="lg" centered>
      <Table>
        <Table.Tbody>
          {HELP.map(({ keys, about }) => (
            <Table.Tr key={about}>
              <Table.Td w={180} style={{ whiteSpace: "nowrap" }}>
                {keys.map((key, at) => (key === "…" ? " … " : <Kbd key={at} mr={4}>{key}</Kbd>))}
              </Table.Td>
              <Table.Td>{about}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
