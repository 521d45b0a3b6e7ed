import { Drawer } from "@mantine/core";
import type { Wanted } from "@/pages/model/usePredictions";
import { PredictionGrid } from "@/pages/model/PredictionGrid";
import type { Looked } from "@/pages/model/useModel";

interface Props {
  looked: Looked;
  title: string;
  /** null: closed. */
  wanted: Wanted | null;
  onClose: () => void;
}

/** The images behind a figure. */
export function PredictionsDrawer({ looked, title, wanted, onClose }: Props) {
  return (
    <Drawer opened={wanted !== null} onClose={onClose} position="right" size="xl" title={title} keepMounted={false}>
      {wanted && <PredictionGrid looked={looked} wanted={wanted} />}
    </Drawer>
  );
}
