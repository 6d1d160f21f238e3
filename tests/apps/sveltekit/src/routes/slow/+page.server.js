export const load = () => ({
  now: 'at once',
  later: new Promise((resolve) => setTimeout(() => resolve('after a while'), 150)),
});
