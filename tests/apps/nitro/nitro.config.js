import { defineNitroConfig } from 'nitro/config';

export default defineNitroConfig({
  preset: 'cloudflare-module',
  compatibilityDate: '2026-01-01',
  cloudflare: { deployConfig: true, nodeCompat: true },
  srcDir: 'server',
  routeRules: {
    '/old/**': { redirect: { to: '/about', status: 301 } },
    '/api/**': { cors: true, headers: { 'x-api': 'yes' } },
    '/_assets/**': { headers: { 'cache-control': 'public, max-age=31536000, immutable' } },
  },
  minify: false,
  sourcemap: true,
});
