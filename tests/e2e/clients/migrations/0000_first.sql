CREATE TABLE `users` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `name` text NOT NULL);
--> statement-breakpoint
CREATE UNIQUE INDEX `users_name` ON `users` (`name`);
