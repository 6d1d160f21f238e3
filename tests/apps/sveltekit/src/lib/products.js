export const products = [
  { id: 'kettle', name: 'Kettle', cents: 900 },
  { id: 'teapot', name: 'Teapot', cents: 1500 },
];
