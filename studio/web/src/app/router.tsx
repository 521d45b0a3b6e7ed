import { createBrowserRouter, Navigate } from "react-router";
import { NotFound } from "@/app/NotFound";
import { PageError } from "@/app/PageError";
import { ProjectShell } from "@/app/ProjectShell";
import { Shell } from "@/app/Shell";

/** Every page is a chunk of its own: what one does not open is not loaded. */
function page(load: () => Promise<{ default: React.ComponentType }>) {
  return async () => ({ Component: (await load()).default });
}

export const router = createBrowserRouter([
  {
    errorElement: <PageError />,
    hydrateFallbackElement: <></>,
    children: [
      { path: "/setup", lazy: page(() => import("@/pages/start/SetUp")) },
      { path: "/password", lazy: page(() => import("@/pages/start/ChoosePassword")) },
    ],
  },
  {
    element: <Shell />,
    errorElement: <PageError />,
    hydrateFallbackElement: <></>,
    children: [
      {
        errorElement: <PageError />,
        children: [
          { path: "/", lazy: page(() => import("@/pages/projects")) },
          { path: "/profile", lazy: page(() => import("@/pages/profile")) },
          { path: "/admin/users", lazy: page(() => import("@/pages/admin/Users")) },
          { path: "/admin/audit", lazy: page(() => import("@/pages/admin/Audit")) },
          { path: "/admin/licenses", lazy: page(() => import("@/pages/admin/Licenses")) },
        ],
      },
      { path: "*", element: <NotFound /> },
      {
        path: "/p/:project",
        element: <ProjectShell />,
        errorElement: <PageError />,
        children: [
          { index: true, element: <Navigate to="images" replace /> },
          {
            errorElement: <PageError />,
            children: [
              { path: "images", lazy: page(() => import("@/pages/images")) },
              { path: "similar", lazy: page(() => import("@/pages/similar")) },
              { path: "train", lazy: page(() => import("@/pages/train")) },
              { path: "models", lazy: page(() => import("@/pages/models")) },
              { path: "models/:model", lazy: page(() => import("@/pages/model")) },
              { path: "predict", lazy: page(() => import("@/pages/predict")) },
              { path: "download", lazy: page(() => import("@/pages/download")) },
              { path: "settings", lazy: page(() => import("@/pages/settings")) },
              { path: "*", element: <NotFound /> },
            ],
          },
        ],
      },
    ],
  },
]);
