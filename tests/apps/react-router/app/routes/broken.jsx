export function loader() {
  throw new Error('the secret reason');
}

export default function Broken() {
  return null;
}
