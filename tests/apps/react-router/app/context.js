import { createContext } from 'react-router';

export const envContext = createContext();
