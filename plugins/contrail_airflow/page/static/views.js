// The views, in the order of their tabs. A view is a module with `show(place, page)`: it fills `place`, an empty element,
// and may return a promise. `page` has `pipeline` (name, title, may_backfill), `user`, `query` (the address), and `signal`, which is
// aborted when the reader leaves the view. To add a view, write its module, and name it here and in app.py.

export const views = [
  { id: "board", label: "Board", load: () => import("./board.js") },
  { id: "predictions", label: "Predictions", load: () => import("./predictions.js") },
  { id: "one", label: "One prediction", load: () => import("./one.js") },
  { id: "models", label: "Models", load: () => import("./models.js") },
  { id: "data", label: "Data", load: () => import("./data.js") },
];
