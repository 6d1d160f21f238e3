/** Notes of this isolate: enough for a test. */
export const notes = [
  { id: '1', text: 'Buy milk' },
  { id: '2', text: 'Water the plants' },
];
